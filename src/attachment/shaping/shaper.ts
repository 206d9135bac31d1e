import type { NetlinkSocket } from "../../kernel/netlink.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { decodeTbf, getRootQdisc, type Tbf } from "../../netlink/rtnetlink/qdisc.ts";
import type { Shaping } from "../attachment.ts";

/** How long a byte may wait in the queue behind the bucket, as in the reference. */
const LATENCY_S = 0.025;
/** A tick of the kernel's packet schedulers is 64 ns (PSCHED_SHIFT, net/pkt_sched.h). */
const TICKS_PER_US = 1000 / 64;
const U32_MAX = 0xffff_ffff;

/** The bucket as the kernel takes it: the reference's numbers, which its CHECK compares exactly. */
export function tbfOf({ rate, burst }: Shaping): Tbf {
  const us = Math.min(Math.floor((burst * 1e6) / rate), U32_MAX);
  return {
    rate,
    limit: Math.min(Math.floor(rate * LATENCY_S) + burst, U32_MAX),
    buffer: Math.min(Math.floor(us * TICKS_PER_US), U32_MAX),
  };
}

/**
 * As the reference made it on x86-64, where a number above 32 bits wraps around (on arm64 it is the largest there is,
 * as here): containerd's burst of 4 Gbit is one.
 */
function wrappedTbf({ rate, burst }: Shaping): Tbf {
  const us = Math.floor((burst * 1e6) / rate) % 2 ** 32;
  return {
    rate,
    limit: ((Math.floor(rate * LATENCY_S) % 2 ** 32) + burst) % 2 ** 32,
    buffer: Math.floor(us * TICKS_PER_US) % 2 ** 32,
  };
}

const same = (one: Tbf, other: Tbf): boolean =>
  one.rate === other.rate && one.limit === other.limit && one.buffer === other.buffer;

/** How the shaper of a link differs from what is wanted, in words. */
export function compareShaper(host: NetlinkSocket, link: Link, wanted: Shaping): string[] {
  const root = host.find(getRootQdisc(link));
  const found = root && decodeTbf(root);
  if (!found) return [`link ${link.name} is not shaped to ${wanted.rate} bytes a second`];
  const expected = tbfOf(wanted);
  if (same(found, expected) || same(found, wrappedTbf(wanted))) return [];
  const differs = (["rate", "limit", "buffer"] as const).filter((key) => found[key] !== expected[key]);
  return differs.map((key) => `the shaper of link ${link.name} has ${key} ${found[key]}, not ${expected[key]}`);
}

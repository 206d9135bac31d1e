import { findStat } from "../kernel/file.ts";
import type { NetlinkSocket } from "../kernel/netlink.ts";
import { bootTime } from "../kernel/boot.ts";
import { samePrefix } from "../net/ip.ts";
import { type Address, decodeAddress, decodeCreated, getAddresses } from "../netlink/rtnetlink/address.ts";
import { decodeCarrierChanges, getCounters } from "../netlink/rtnetlink/counters.ts";
import type { Surveyed } from "../survey/surveyed.ts";

// Since when something is so, as far as anything says it: files have a time, and so have addresses and neighbours;
// routes, rules and sysctls have none.

/** `2026-11-20T03:00Z` of nanoseconds since 1970: one word, which no line is broken in. */
export const formatTime = (nanoseconds: bigint): string =>
  `${new Date(Number(nanoseconds / 1_000_000n)).toISOString().slice(0, 16)}Z`;

/** When it was attached: its lease was made then, or the runtime's result of it written. */
export function attachedSince({ leases, cached }: Surveyed): string | undefined {
  const time = leases[0]?.modified ?? (cached && fileTime(cached.file));
  return time === undefined ? undefined : formatTime(time);
}

const fileTime = (path: string): bigint | undefined => findStat(path)?.mtime;

/** When a file was written last. */
export const fileSince = (path: string): string | undefined => {
  const time = fileTime(path);
  return time === undefined ? undefined : `written ${formatTime(time)}`;
};

/** When an address was put on its link. */
export function addressSince(host: NetlinkSocket, { index, prefix }: Address): string | undefined {
  const replies = host.dump(getAddresses(index, prefix.ip.family));
  const reply = replies.find((each) => {
    const found = decodeAddress(each);
    return found?.index === index && samePrefix(found.prefix, prefix);
  });
  const created = reply && decodeCreated(reply);
  return created === undefined ? undefined : formatTime(bootTime() + BigInt(created) * 10_000_000n);
}

/** How often a link came up or went down since it was made. */
export function carrierSince(host: NetlinkSocket, name: string): string | undefined {
  const reply = host.find(getCounters(name));
  const changes = reply && decodeCarrierChanges(reply);
  return changes === undefined ? undefined : `it came up or went down ${changes} times since it was made`;
}

/** A time so long ago. */
export const ago = (milliseconds: number): string => {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 120 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
};

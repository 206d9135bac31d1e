import { CniError, Code } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isLocal } from "../../kernel/route-lookup.ts";
import { formatIp, type Ip } from "../../net/ip.ts";

/** What no host has as its own (RFC 6890, RFC 4291); undefined for any other address. */
function specialKind({ family, value }: Ip): string | undefined {
  if (family === 6) {
    if (value === 0n) return "the unspecified address";
    if (value === 1n) return "the loopback address";
    return value >> 120n === 0xffn ? "a multicast address" : undefined;
  }
  const first = Number(value >> 24n);
  if (first === 0) return "an unspecified address";
  if (first === 127) return "a loopback address";
  if (value === 0xffff_ffffn) return "the broadcast address";
  return first >= 224 && first < 240 ? "a multicast address" : undefined;
}

/** CniError 7 for an address that can be no pod's, whoever gave it: one of the node's own above all. */
export function assertOwnable(ips: readonly Ip[], host: NetlinkSocket): void {
  for (const ip of ips) {
    const what = specialKind(ip) ?? (isLocal(host, ip) ? "an address of this node" : undefined);
    if (what === undefined) continue;
    throw new CniError(Code.InvalidConfig, `IPAM gave the container ${formatIp(ip)}, which is ${what}`);
  }
}

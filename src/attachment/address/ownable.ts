import { CniError, Code } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isLocal } from "../../kernel/route-lookup.ts";
import { contains, formatIp, type Ip, parsePrefix } from "../../net/ip.ts";

/** What no host has as its own (RFC 6890, RFC 4291). */
const special = [
  ["an unspecified address", "0.0.0.0/8"],
  ["a loopback address", "127.0.0.0/8"],
  ["a multicast address", "224.0.0.0/4"],
  ["the broadcast address", "255.255.255.255/32"],
  ["the unspecified address", "::/128"],
  ["the loopback address", "::1/128"],
  ["a multicast address", "ff00::/8"],
].map(([what, text]) => ({ what: what!, prefix: parsePrefix(text!)! }));

/** CniError 7 for an address that can be no pod's, whoever gave it: one of the node's own above all. */
export function assertOwnable(ips: readonly Ip[], host: NetlinkSocket): void {
  for (const ip of ips) {
    const kind = special.find(({ prefix }) => prefix.ip.family === ip.family && contains(prefix, ip))?.what;
    const what = kind ?? (isLocal(host, ip) ? "an address of this node" : undefined);
    if (what === undefined) continue;
    throw new CniError(Code.InvalidConfig, `IPAM gave the container ${formatIp(ip)}, which is ${what}`);
  }
}

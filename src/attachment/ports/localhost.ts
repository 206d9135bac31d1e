import { applyRulesets } from "../../kernel/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { findLinkTowards } from "../../kernel/route-lookup.ts";
import { ensureSysctl, findSysctl, writeSysctlIfKnown } from "../../kernel/sysctl.ts";
import { formatIp, type Ip, ipFromBytes } from "../../net/ip.ts";
import type { PortsPart } from "../attachment.ts";
import { explained, whereUsable } from "../firewall/explained.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import type { Site } from "../site.ts";
import { decodeTarget, targets } from "./keys.ts";
import { guardRuleset } from "./maps.ts";
import { hasOtherPorts } from "./reference-ports.ts";

// 127.0.0.1 of the node leads to host ports as well, which needs route_localnet on the pod's link, and a guard.

/**
 * A connection from 127.0.0.1 leaves by the pod's link with that source until it is masqueraded, which the kernel
 * allows only so. Without the guard, which both backends have in nftables, a pod could reach what listens on the node's
 * own 127.0.0.1.
 */
export function letLocalhostIn({ addresses, backend }: PortsPart, { host, log }: Site): void {
  const isGuarded =
    backend === "nftables" ||
    whereUsable("guard 127.0.0.1", (nft) => {
      applyRulesets(nft, [guardRuleset]);
      return true;
    });
  if (!isGuarded) return log.warn("127.0.0.1 of this node leads to no host port: nftables, to guard it, is not usable");
  for (const { ip } of addresses) {
    const link = ip.family === 4 ? findLinkTowards(host, ip) : undefined;
    if (link === undefined) continue;
    explained(`let 127.0.0.1 reach ${formatIp(ip)}`, () => ensureSysctl(localhostSysctl(link), "1"));
  }
}

/** With the last mapping that leads through a link goes what let 127.0.0.1 in there. */
export function keepLocalhostOut(pod: Ip, host: NetlinkSocket): void {
  const link = pod.family === 4 ? findLinkTowards(host, pod) : undefined;
  if (link === undefined || findSysctl(localhostSysctl(link)) !== "1") return;
  const isUsed = whereUsable("look for other port mappings", (nft) => {
    const mapped = targetSets.some((set) =>
      nft
        .elements(INET_TABLE, set)
        .some(({ data }) => data && findLinkTowards(host, ipFromBytes(decodeTarget(data))) === link),
    );
    return mapped || hasOtherPorts(nft);
  });
  if (isUsed === false) writeSysctlIfKnown(localhostSysctl(link), "0");
}

const targetSets = [true, false].map((hasAddress) => targets(4, hasAddress));

const localhostSysctl = (link: string): string => `net/ipv4/conf/${link}/route_localnet`;

/** What is otherwise than `letLocalhostIn` made it, in words. */
export function compareLocalhost(host: NetlinkSocket, ip: Ip, { snat }: PortsPart): string[] {
  const link = snat && ip.family === 4 ? findLinkTowards(host, ip) : undefined;
  return link === undefined || findSysctl(localhostSysctl(link)) === "1"
    ? []
    : [`sysctl ${localhostSysctl(link)} is not 1: 127.0.0.1 does not reach ${formatIp(ip)}`];
}

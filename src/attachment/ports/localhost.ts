import { compareRulesets } from "../../kernel/nftables/compare.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";
import { applyRulesets } from "../../kernel/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { findLinkBeside, findLinkTowards, isTowards } from "../../kernel/route-lookup.ts";
import { findSysctl, mayWriteSysctl } from "../../kernel/sysctl.ts";
import { encodeUtf8 } from "../../net/bytes.ts";
import { contains, formatIp, type Ip, ipBytes, ipFromBytes, type Prefix, sameIp } from "../../net/ip.ts";
import { decodeRoutes, getRoutes } from "../../netlink/rtnetlink/route.ts";
import type { PortsPart } from "../attachment.ts";
import { explained, whereUsable } from "../firewall/explained.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import { findLink } from "../link/links.ts";
import type { Site } from "../site.ts";
import { trySysctl } from "../sysctls.ts";
import type { Undo } from "../undo.ts";
import { iptablesTargets } from "./iptables-ports.ts";
import { decodeTarget, targetMention, targets } from "./keys.ts";
import { guardRuleset, podsOfChain, PORT_CHAIN_PREFIX } from "./maps.ts";
import { referenceTargets } from "./reference-ports.ts";

// 127.0.0.1 of the node leads to host ports as well, which needs route_localnet on the pod's link, and a guard.

/** A link by which a pod is reached. */
interface Way {
  ip: Ip;
  link: string;
}

/** The links 127.0.0.1 would take to the pod. */
const waysTo = ({ addresses, snat }: PortsPart, host: NetlinkSocket): Way[] =>
  addresses.flatMap(({ ip }) => {
    const link = snat && ip.family === 4 ? findLinkTowards(host, ip) : undefined;
    return link === undefined ? [] : [{ ip, link }];
  });

const isOpen = (link: string): boolean => findSysctl(localhostSysctl(link)) === "1";

/**
 * Makes mappings, and lets 127.0.0.1 of the node use them: such a connection leaves by the pod's link with that source
 * until it is masqueraded, which the kernel allows only so. Without the guard, which both backends have in nftables, a
 * pod could reach what listens on the node's own 127.0.0.1.
 */
export function withLocalhost(part: PortsPart, site: Site, undo: Undo, map: () => void): void {
  const { host, log } = site;
  const ways = waysTo(part, host);
  const closed = ways.filter(({ link }) => !isOpen(link)).map(({ ip }) => ip);
  const led: Led = { pods: closed, linkless: site.hostLink === undefined ? closed : [] };
  // before the mappings are made: undone when they are gone
  if (closed.length > 0) undo.push("keep 127.0.0.1 to the node", () => keepLocalhostOut(led, site, site.hostLink));
  map();
  const isGuarded =
    ways.length === 0 ||
    part.backend === "nftables" ||
    whereUsable("guard 127.0.0.1", (nft) => {
      applyRulesets(nft, [guardRuleset]);
      return true;
    });
  if (!isGuarded) return log.warn("127.0.0.1 of this node leads to no host port: nftables, to guard it, is not usable");
  for (const { ip, link } of ways.filter((way) => !isOpen(way.link))) {
    explained(`let 127.0.0.1 reach ${formatIp(ip)}`, () => trySysctl({ path: localhostSysctl(link), value: "1" }, log));
  }
}

/** The pods mappings led to, and which of them have no link of the host: the routes say how those are reached. */
export interface Led {
  pods: readonly Ip[];
  linkless: readonly Ip[];
}

/**
 * With the last mapping that leads through a link goes what let 127.0.0.1 in there; `bare` is a pod's own link, which
 * has none any more.
 */
export function keepLocalhostOut(
  { pods, linkless }: Led,
  site: Pick<Site, "host" | "hostLink" | "log">,
  bare?: string,
): void {
  const links = pods
    .filter(({ family }) => family === 4)
    .flatMap((pod) => {
      // behind a gateway is, of the others, none: the link of one that is gone is not where the routes lead now
      const find = linkless.some((ip) => sameIp(ip, pod)) ? findLinkTowards : findLinkBeside;
      return find(site.host, pod) ?? [];
    });
  for (const link of new Set(links)) {
    if (!isOpen(link) || isUsed(link, site, bare)) continue;
    trySysctl({ path: localhostSysctl(link), value: "0" }, site.log);
    // an ADD beside this call found it open, and mapped a port meanwhile
    if (isUsed(link, site, bare)) trySysctl({ path: localhostSysctl(link), value: "1" }, site.log);
  }
}

/** True when a mapping, whosever it is, leads through the link; none of podwire's where it is `bare`. */
function isUsed(link: string, { host, hostLink }: Pick<Site, "host" | "hostLink">, bare?: string): boolean {
  const isThrough = isTowards(host, link);
  // who is behind a link of its own has it to itself, and its elements name it
  const mentions = (nft: Nftables): Uint8Array[] =>
    link === hostLink ? [encodeUtf8(link)] : targetsBehind(nft, link, host);
  const isMapped = whereUsable(
    "look for other port mappings",
    (nft) => (link !== bare && hasTarget(nft, mentions(nft), isThrough)) || referenceTargets(nft, 4).some(isThrough),
  );
  return isMapped === true || iptablesTargets(4).some(isThrough);
}

const hasTarget = (nft: Nftables, mentions: readonly Uint8Array[], isWanted: (ip: Ip) => boolean): boolean =>
  mentions.length > 0 &&
  [true, false].some((hasAddress) =>
    nft.hasElement(
      { table: INET_TABLE, set: targets(4, hasAddress), mentions },
      ({ data }) => data !== undefined && isWanted(ipFromBytes(decodeTarget(data))),
    ),
  );

/**
 * What stands in the elements of pods that a link's routes lead to, the first bytes of their addresses; nothing where
 * all mappings are for pods of other subnets: their chains say so, without a look at each.
 */
function targetsBehind(nft: Nftables, link: string, host: NetlinkSocket): Uint8Array[] {
  const subnets = nft
    .chains(INET_TABLE)
    .filter((chain) => chain.name.startsWith(PORT_CHAIN_PREFIX) && nft.isUsed(INET_TABLE, chain))
    .map(({ name }) => podsOfChain(name))
    .filter(({ ip }) => ip.family === 4);
  const found = subnets.length > 0 ? findLink(host, link) : undefined;
  const routes = found ? host.dump(getRoutes(4, found)).flatMap(decodeRoutes) : [];
  return routes
    .filter(({ index, dst }) => index === found?.index && subnets.some((subnet) => overlap(subnet, dst)))
    .map(({ dst }) => targetMention(ipBytes(dst.ip).subarray(0, dst.length >> 3)));
}

const overlap = (a: Prefix, b: Prefix): boolean => contains(a, b.ip) || contains(b, a.ip);

const localhostSysctl = (link: string): string => `net/ipv4/conf/${link}/route_localnet`;

/** What is otherwise than `withLocalhost` made it, in words. */
export function compareLocalhost(host: NetlinkSocket, part: PortsPart): string[] {
  const ways = waysTo(part, host);
  const closed = ways
    .filter(({ link }) => !isOpen(link) && mayWriteSysctl(localhostSysctl(link)))
    .map(({ ip, link }) => `sysctl ${localhostSysctl(link)} is not 1: 127.0.0.1 does not reach ${formatIp(ip)}`);
  const isGuardDue = part.backend === "iptables" && ways.some(({ link }) => isOpen(link));
  const guard = isGuardDue
    ? explained("read nftables", () => Nftables.use((nft) => compareRulesets(nft, [guardRuleset])))
    : [];
  return [...closed, ...guard];
}

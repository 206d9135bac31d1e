import { compareRulesets } from "../../kernel/nftables/compare.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";
import { applyRulesets } from "../../kernel/nftables/ruleset.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../kernel/netlink.ts";
import { isErrno } from "../../kernel/system-error.ts";
import { findLinkTowards } from "../../kernel/route-lookup.ts";
import { findSysctl, ensureSysctl } from "../../kernel/sysctl.ts";
import { IPPROTO_UDP } from "../../netlink/conntrack.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import type { Ruleset } from "../../netlink/nftables/ruleset.ts";
import { type Family, formatIp, ipFromBytes, type Ip } from "../../net/ip.ts";
import type { Owner, PortMappings } from "../attachment.ts";
import { dropUnusedChains, explained, whereUsable } from "./explained.ts";
import { startsWithWords } from "./label.ts";
import { conditionChain, ensureConditions } from "./port-conditions.ts";
import type { Claim, TakeOver } from "./port-holder.ts";
import {
  assertAvailable,
  isPortOf,
  portComment,
  portLabel,
  portNetworkLabel,
  takeFromMaps,
  takeOverlapping,
} from "./port-map-holders.ts";
import { decidingSets, decodePortKey, decodeTarget, hostAddress, targetSetOf } from "./port-keys.ts";
import { policyChain, PORT_CHAIN_PREFIX, portMappingRuleset } from "./port-maps.ts";
import {
  applyIptablesPorts,
  checkIptablesPorts,
  collectIptablesPorts,
  removeIptablesPorts,
  takeFromIptables,
} from "./port-mappings-iptables.ts";
import { takeFromReference } from "./reference-ports.ts";
import { forgetStaleFlows, type UdpFlow, type UdpPort } from "./stale-flows.ts";
import { INET_TABLE } from "./masquerade.ts";
import type { Backend, RegisterUndo } from "./traces.ts";

/** The host's routes and links, open while `use` runs. */
function withHost<T>(use: (host: NetlinkSocket) => T): T {
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  try {
    return use(host);
  } finally {
    host.close();
  }
}

const fullRuleset = (owner: Owner, hostLink: string | undefined, ports: PortMappings): Ruleset =>
  portMappingRuleset(ports, portComment(owner, hostLink), (family, chain) =>
    conditionChain(ports.conditions[family], chain),
  );

const hasConditions = ({ conditions }: PortMappings): boolean => conditions[4].length > 0 || conditions[6].length > 0;

/**
 * Makes the mappings of one attachment; `hostLink` is the host's end of the pod's link, by which others will know
 * whether the pod is alive. A port of a live pod is an error that names it.
 */
export function applyPortMappings(
  owner: Owner,
  hostLink: string | undefined,
  ports: PortMappings,
  undo: RegisterUndo,
): void {
  withHost((host) => {
    const claim: Claim = { owner, ports, host };
    if (ports.backend === "iptables") applyChains(claim, hostLink, undo);
    else applyPortMaps(claim, hostLink, undo);
    if (ports.snat) for (const { ip } of ports.addresses) routeLocalhost(host, ip);
    forgetOld(host, ports);
  });
}

/** A client that talked to a pod that had the port before, or to the node itself, is led to this pod from now on. */
function forgetOld(host: NetlinkSocket, ports: PortMappings): void {
  const udp = ports.addresses.flatMap(({ ip }) => udpPorts(ip.family, ports));
  const pods = ports.addresses.map(({ ip }) => ip);
  if (udp.length > 0) Nftables.use((nft) => forgetStaleFlows(pods, udp, { host, netfilter: nft.socket }));
}

function applyChains(claim: Claim, hostLink: string | undefined, undo: RegisterUndo): void {
  const elsewhere = whereUsable("look for holders of host ports", (nft): TakeOver[] => [
    takeFromReference(nft, claim),
    takeFromMaps(nft, claim),
  ]);
  applyIptablesPorts(claim, hostLink, undo);
  explained("take over host ports", () => elsewhere?.forEach((takeOver) => takeOver()));
}

function applyPortMaps(claim: Claim, hostLink: string | undefined, undo: RegisterUndo): void {
  const { owner, ports } = claim;
  const ruleset = fullRuleset(owner, hostLink, ports);
  const replace: Ruleset["replace"] = (found, { what }) =>
    assertAvailable(found, what.replace(/^host port | in map .*$/g, ""), claim);
  const refs = ruleset.elements.map((element) => ({ table: INET_TABLE, ...element }));
  const registerUndo = (): void => undo(() => Nftables.use((nft) => nft.deleteElements(refs, isPortOf(owner))));
  explained(`write the port mappings of ${portLabel(owner)}`, () =>
    Nftables.use((nft) => {
      const elsewhere = [takeOverlapping(nft, claim), takeFromReference(nft, claim), takeFromIptables(nft, claim)];
      if (hasConditions(ports)) {
        applyRulesets(nft, [{ ...ruleset, elements: [] }]);
        ensureConditions(nft, ports, chainsOf(ports));
      }
      try {
        applyRulesets(nft, [{ ...ruleset, replace }]);
      } catch (error) {
        if (isErrno(error, "ENOBUFS")) registerUndo(); // the kernel's answer was lost: they may be there all the same
        throw error;
      }
      registerUndo();
      elsewhere.forEach((takeOver) => takeOver());
    }),
  );
}

const chainsOf = (ports: PortMappings): { family: Family; name: string }[] =>
  ports.addresses.map((pod) => ({ family: pod.ip.family, name: policyChain(pod, ports).name }));

const udpPorts = (family: Family, ports: PortMappings): UdpPort[] =>
  ports.mappings
    .filter(({ protocol, hostIp }) => protocol === "udp" && (!hostIp || hostIp.family === family))
    .map((mapping) => {
      const address = hostAddress(mapping);
      return { family, hostPort: mapping.hostPort, ...(address && { address }) };
    });

/**
 * A connection from 127.0.0.1 leaves by the pod's link with that source until it is masqueraded, which the kernel
 * allows only so.
 */
function routeLocalhost(host: NetlinkSocket, pod: Ip): void {
  const link = pod.family === 4 ? findLinkTowards(host, pod) : undefined;
  if (link === undefined) return;
  explained(`let 127.0.0.1 reach ${formatIp(pod)}`, () => ensureSysctl(localhostSysctl(link), "1"));
}

const localhostSysctl = (link: string): string => `net/ipv4/conf/${link}/route_localnet`;

/** What is otherwise than `applyPortMappings` made it, in words. */
export function checkPortMappings(owner: Owner, hostLink: string | undefined, ports: PortMappings): string[] {
  const differences =
    ports.backend === "iptables"
      ? checkIptablesPorts(owner, ports)
      : explained("read nftables", () => Nftables.use((nft) => comparePortMaps(nft, owner, hostLink, ports)));
  return [
    ...differences,
    ...withHost((host) => ports.addresses.flatMap(({ ip }) => compareLocalhost(host, ip, ports))),
  ];
}

function comparePortMaps(nft: Nftables, owner: Owner, hostLink: string | undefined, ports: PortMappings): string[] {
  const conditional = chainsOf(ports).map(({ family, name }) => conditionChain(ports.conditions[family], name));
  const missing = conditional.filter((chain) => !nft.findChain(INET_TABLE, chain));
  return [
    ...missing.map((chain) => `nftables table podwire, chain ${chain}: missing`),
    ...compareRulesets(nft, [fullRuleset(owner, hostLink, ports)]),
  ];
}

function compareLocalhost(host: NetlinkSocket, ip: Ip, { snat }: PortMappings): string[] {
  const link = snat && ip.family === 4 ? findLinkTowards(host, ip) : undefined;
  return link === undefined || findSysctl(localhostSysctl(link)) === "1"
    ? []
    : [`sysctl ${localhostSysctl(link)} is not 1: 127.0.0.1 does not reach ${formatIp(ip)}`];
}

/**
 * Takes away every mapping of the owner, found by comment, and the UDP flows that remember one; says whether there was
 * any.
 */
export function removePortMappings(
  owner: Owner,
  { backend, addresses = [] }: { backend?: Backend; addresses?: readonly Ip[] },
): boolean {
  const found = removePortMaps({ words: portLabel(owner), isMine: isPortOf(owner) }, addresses);
  if (backend !== "iptables") return found;
  const removed = removeIptablesPorts(owner);
  whereUsable("forget UDP flows", (nft) => forgetMapped(nft, removed.udp, addresses));
  return removed.found || found;
}

/** GC: takes away the mappings of attachments of the network that are not valid, and chains nobody uses. */
export function collectPortMappings(
  network: string,
  valid: readonly { containerId: string; ifname: string }[],
  backend?: Backend,
): void {
  const kept = valid.map((attachment) => portLabel({ network, ...attachment }));
  const words = portNetworkLabel(network);
  removePortMaps(
    {
      words,
      isMine: ({ comment }) =>
        startsWithWords(comment, words) && !kept.some((label) => startsWithWords(comment, label)),
    },
    [],
  );
  whereUsable("remove chains of port mappings", (nft) => dropUnusedChains(nft, PORT_CHAIN_PREFIX));
  if (backend === "iptables") collectIptablesPorts(network, valid);
}

/** Elements of some attachments: the words all their comments start with, and which of those it is about. */
interface Selection {
  words: string;
  isMine(found: FoundElement): boolean;
}

function removePortMaps({ words, isMine }: Selection, addresses: readonly Ip[]): boolean {
  const found = whereUsable("remove port mappings", (nft) => {
    const mine = decidingSets.flatMap((set) =>
      nft
        .elements(INET_TABLE, set, words)
        .filter(isMine)
        .map(({ key }) => ({ set, key })),
    );
    if (mine.length === 0) return false;
    const udp = mine.filter(({ key }) => decodePortKey(key).protocol === IPPROTO_UDP).map((ref) => udpFlow(nft, ref));
    nft.deleteElements(
      mine.flatMap(({ set, key }) => [set, targetSetOf(set)].map((each) => ({ table: INET_TABLE, set: each, key }))),
      isMine,
    );
    forgetMapped(nft, udp, addresses);
    return true;
  });
  return found ?? false;
}

function forgetMapped(nft: Nftables, udp: readonly UdpFlow[], addresses: readonly Ip[]): void {
  const pods = [...addresses, ...udp.flatMap(({ pod }) => pod ?? [])];
  if (udp.length > 0) withHost((host) => forgetStaleFlows(pods, udp, { host, netfilter: nft.socket }));
}

function udpFlow(nft: Nftables, { set, key }: { set: string; key: Uint8Array }): UdpFlow {
  const { hostPort, address } = decodePortKey(key);
  const target = nft.findElement({ table: INET_TABLE, set: targetSetOf(set), key })?.data;
  return {
    family: familyOfSet(set),
    hostPort,
    ...(address && { address: ipFromBytes(address) }),
    pod: target && ipFromBytes(decodeTarget(target)),
  };
}

const familyOfSet = (set: string): Family => (set.endsWith("4") ? 4 : 6);

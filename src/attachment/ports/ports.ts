import { compareRulesets } from "../../kernel/nftables/compare.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";
import { applyRulesets } from "../../kernel/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isErrno } from "../../kernel/system-error.ts";
import { IPPROTO_UDP } from "../../netlink/conntrack.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import type { Ruleset } from "../../netlink/nftables/ruleset.ts";
import { type Family, ipFromBytes, type Ip } from "../../net/ip.ts";
import type { Owner, PortsPart } from "../attachment.ts";
import { assertBackend, statusOfBackend } from "../firewall/backend.ts";
import { listElements } from "../firewall/elements.ts";
import { dropUnusedChains, explained, whereUsable } from "../firewall/explained.ts";
import { conditionChain, ensureConditions } from "./conditions.ts";
import { type Claim, type TakeOver, UNKNOWN_LINK } from "./holder.ts";
import {
  assertAvailable,
  isLostPort,
  isPortOf,
  portComment,
  portLabel,
  portNetworkLabel,
  takeFromMaps,
  takeOverlapping,
} from "./map-holders.ts";
import { decidingSets, decodePortKey, decodeTarget, hostAddress, protocolNumber, targetSetOf } from "./keys.ts";
import { compareLocalhost, keepLocalhostOut, letLocalhostIn } from "./localhost.ts";
import { policyChain, PORT_CHAIN_PREFIX, portMappingRuleset } from "./maps.ts";
import {
  applyIptablesPorts,
  checkIptablesPorts,
  collectIptablesPorts,
  removeIptablesPorts,
  takeFromIptables,
} from "./iptables-ports.ts";
import { hasReferencePorts, removeReferencePorts, takeFromReference } from "./reference-ports.ts";
import { forgetStaleFlows, type UdpFlow, type UdpPort } from "./stale-flows.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import type { Kind } from "../kind.ts";
import type { Site } from "../site.ts";
import type { Undo } from "../undo.ts";

// Files here: keys (which maps there are, which mapping stands where) and maps (what nftables must hold); conditions
// (text in nft's language); chains and iptables-ports (the iptables backend); holder, map-holders and reference-ports
// (who has a port already, in each place); localhost (127.0.0.1 of the node, and its guard); stale-flows (UDP flows
// that remember a pod).

/** Ports of the node that lead to the pod, by either backend. */
export const ports: Kind<PortsPart> = {
  assertTools(part) {
    if (part.mappings.length > 0) assertBackend(part); // most pods have none: nothing is run for them
  },

  apply(part, site, { undo }) {
    if (isEmpty(part)) return;
    const claim: Claim = { owner: site.owner, ports: part, host: site.host };
    if (part.backend === "iptables") applyChains(claim, site.hostLink, undo);
    else applyPortMaps(claim, site.hostLink, undo);
    if (part.snat) letLocalhostIn(part, site);
    forgetOld(site.host, part);
  },

  compare(part, site) {
    if (isEmpty(part)) return [];
    const differences = [
      ...compareMappings(part, site),
      ...part.addresses.flatMap(({ ip }) => compareLocalhost(site.host, ip, part)),
    ];
    return differences.length > 0 && hasReferencePorts(site.owner, part) ? [] : differences;
  },

  remove({ owner, addresses, site }, part) {
    const found = removePortMaps({ words: portLabel(owner), isMine: isPortOf(owner) }, addresses, site);
    const byIptables = part?.backend === "iptables" ? removeIptablesPorts(owner) : { found: false, udp: [] };
    if (byIptables.udp.length > 0) {
      whereUsable("forget UDP flows", (nft) => forgetMapped(nft, byIptables.udp, addresses, site));
    }
    if (!found && !byIptables.found) return "unknown";
    for (const ip of addresses) keepLocalhostOut(ip, site.host);
    return "own";
  },

  removeReference({ owner }, part) {
    if (part && part.mappings.length > 0) removeReferencePorts(owner);
  },

  collect(selection, part) {
    const { network, valid, site } = selection;
    removePortMaps({ words: portNetworkLabel(network), isMine: isLostPort(selection) }, [], site);
    whereUsable("remove chains of port mappings", (nft) => dropUnusedChains(nft, PORT_CHAIN_PREFIX));
    if (part?.backend === "iptables") collectIptablesPorts(network, valid);
  },

  list: () =>
    decidingSets
      .flatMap((set) => listElements(INET_TABLE, set, (key) => `host port ${portOfKey(key)} in map ${set}`))
      .map(({ comment, what }) => {
        const [link] = comment.split(" ").slice(3);
        const words = comment.split(" ").slice(0, 3).join(" ");
        return { comment: words, what, ...(link !== undefined && link !== UNKNOWN_LINK && { link }) };
      }),

  status: ({ backend }) => statusOfBackend(backend),
};

const isEmpty = ({ mappings, addresses }: PortsPart): boolean => mappings.length === 0 || addresses.length === 0;

const fullRuleset = (owner: Owner, hostLink: string | undefined, ports: PortsPart): Ruleset =>
  portMappingRuleset(ports, portComment(owner, hostLink), (family, chain) =>
    conditionChain(ports.conditions[family], chain),
  );

const hasConditions = ({ conditions }: PortsPart): boolean => conditions[4].length > 0 || conditions[6].length > 0;

/** A client that talked to a pod that had the port before, or to the node itself, is led to this pod from now on. */
function forgetOld(host: NetlinkSocket, ports: PortsPart): void {
  const udp = ports.addresses.flatMap(({ ip }) => udpPorts(ip.family, ports));
  const pods = ports.addresses.map(({ ip }) => ip);
  if (udp.length > 0) Nftables.use((nft) => forgetStaleFlows(pods, udp, { host, netfilter: nft.socket }));
}

function applyChains(claim: Claim, hostLink: string | undefined, undo: Undo): void {
  const elsewhere = whereUsable("look for holders of host ports", (nft): TakeOver[] => [
    takeFromReference(nft, claim),
    takeFromMaps(nft, claim),
  ]);
  applyIptablesPorts(claim, hostLink, undo);
  explained("take over host ports", () => elsewhere?.forEach((takeOver) => takeOver()));
}

function applyPortMaps(claim: Claim, hostLink: string | undefined, undo: Undo): void {
  const { owner, ports } = claim;
  const ruleset = fullRuleset(owner, hostLink, ports);
  const replace: Ruleset["replace"] = (found, { what }) =>
    assertAvailable(found, what.replace(/^host port | in map .*$/g, ""), claim);
  const refs = ruleset.elements.map((element) => ({ table: INET_TABLE, ...element }));
  const registerUndo = (): void =>
    undo.push("remove port mappings", () => Nftables.use((nft) => nft.deleteElements(refs, isPortOf(owner))));
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

const chainsOf = (ports: PortsPart): { family: Family; name: string }[] =>
  ports.addresses.map((pod) => ({ family: pod.ip.family, name: policyChain(pod, ports).name }));

const udpPorts = (family: Family, ports: PortsPart): UdpPort[] =>
  ports.mappings
    .filter(({ protocol, hostIp }) => protocol === "udp" && (!hostIp || hostIp.family === family))
    .map((mapping) => {
      const address = hostAddress(mapping);
      return { family, hostPort: mapping.hostPort, ...(address && { address }) };
    });

const portOfKey = (key: Uint8Array): string => {
  const { protocol, hostPort } = decodePortKey(key);
  const name = Object.entries(protocolNumber).find(([, number]) => number === protocol)?.[0] ?? protocol;
  return `${hostPort}/${name}`;
};

const compareMappings = (part: PortsPart, { owner, hostLink }: Site): string[] =>
  part.backend === "iptables"
    ? checkIptablesPorts(owner, part)
    : explained("read nftables", () => Nftables.use((nft) => comparePortMaps(nft, owner, hostLink, part)));

function comparePortMaps(nft: Nftables, owner: Owner, hostLink: string | undefined, ports: PortsPart): string[] {
  const conditional = chainsOf(ports).map(({ family, name }) => conditionChain(ports.conditions[family], name));
  const missing = conditional.filter((chain) => !nft.findChain(INET_TABLE, chain));
  return [
    ...missing.map((chain) => `nftables table podwire, chain ${chain}: missing`),
    ...compareRulesets(nft, [fullRuleset(owner, hostLink, ports)]),
  ];
}

/** Elements of some attachments: the words all their comments start with, and which of those it is about. */
interface Labelled {
  words: string;
  isMine(found: FoundElement): boolean;
}

function removePortMaps({ words, isMine }: Labelled, addresses: readonly Ip[], site: Site): boolean {
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
    forgetMapped(nft, udp, addresses, site);
    return true;
  });
  return found ?? false;
}

function forgetMapped(nft: Nftables, udp: readonly UdpFlow[], addresses: readonly Ip[], { host }: Site): void {
  const pods = [...addresses, ...udp.flatMap(({ pod }) => pod ?? [])];
  if (udp.length > 0) forgetStaleFlows(pods, udp, { host, netfilter: nft.socket });
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

import { compareRulesets } from "../../kernel/nftables/compare.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";
import { applyRulesets } from "../../kernel/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isErrno } from "../../kernel/system-error.ts";
import type { ElementSpec, Ruleset } from "../../netlink/nftables/ruleset.ts";
import { type Family, type Ip, ipFromBytes, uniqueIps } from "../../net/ip.ts";
import type { Owner, PortsPart } from "../attachment.ts";
import { assertBackend, statusOfBackend } from "../firewall/backend.ts";
import { listElements } from "../firewall/elements.ts";
import { filledTools, otherTools } from "../firewall/iptables.ts";
import { dropUnusedChains, explained, whereUsable } from "../firewall/explained.ts";
import { INET_FRAME, INET_TABLE } from "../firewall/masquerade.ts";
import type { Kind } from "../kind.ts";
import type { Site } from "../site.ts";
import { rewriting } from "../step.ts";
import type { Undo } from "../undo.ts";
import { conditionChain, ensureConditions } from "./conditions.ts";
import { type Claim, type TakeOver, UNKNOWN_LINK } from "./holder.ts";
import { assertAvailable, isPortOf, portComment, portLabel, takeFromMaps, takeOverlapping } from "./map-holders.ts";
import {
  applyIptablesPorts,
  checkIptablesPorts,
  collectIptablesPorts,
  type Comparison,
  nothingRemoved,
  removeIptablesPorts,
  takeFromIptables,
} from "./iptables-ports.ts";
import { decidingSets, decodePortKey, decodeTarget, hostAddress, protocolNumber } from "./keys.ts";
import { compareLocalhost, keepLocalhostOut, withLocalhost } from "./localhost.ts";
import { policyChain, PORT_CHAIN_PREFIX, portMappingRuleset } from "./maps.ts";
import { hasReferencePorts, removeReferencePorts, takeFromReference } from "./reference-ports.ts";
import { findOwned, ownerElements } from "./owners.ts";
import { goingOf, goingWithout, removePorts } from "./removal.ts";
import { forgetStaleFlows, type UdpPort } from "./stale-flows.ts";

// Files here: keys (which maps there are, which mapping stands where) and maps (what nftables must hold); conditions
// (text in nft's language); chains, iptables-rules and iptables-ports (the iptables backend); holder, map-holders and
// reference-ports (who has a port already, in each place); owners (which ports are whose, for who removes them);
// localhost (127.0.0.1 of the node, and its guard); stale-flows (UDP flows that remember a pod); removal (mappings with
// what is left of them).

/** Ports of the node that lead to the pod, by either backend. */
export const ports: Kind<PortsPart> = {
  assertTools(part) {
    if (part.mappings.length > 0) assertBackend(part); // most pods have none: nothing is run for them
  },

  apply: (part, site, { undo }) => lead(part, site, undo, false),

  mend: (part, site, { differences, undo }) =>
    rewriting(differences, {
      what: `write the mappings of ${listPorts(part)}`,
      run: () => lead(part, site, undo, true),
    }),

  compare(part, site) {
    if (isEmpty(part)) return [];
    const { differences, isForeign } = compareMappings(part, site);
    if (differences.length > 0 && hasReferencePorts(site.owner, part)) return [];
    return isForeign ? differences : [...differences, ...compareLocalhost(site.host, part)];
  },

  remove({ owner, addresses, site, usesIptables }, part) {
    const others = usesIptables || part?.backend === "iptables" ? removeIptablesPorts(owner) : nothingRemoved;
    return removePorts(goingOf(owner, part), others, addresses, site) ? "own" : "unknown";
  },

  removeReference({ owner, addresses, site }, part) {
    if (!part) return;
    const led = removeReferencePorts(owner, addresses, part.mappings.length > 0);
    if (led.length === 0) return;
    keepLocalhostOut({ pods: uniqueIps([...addresses, ...led]), linkless: [] }, site, site.hostLink);
  },

  collect(selection, part) {
    const { site } = selection;
    const others = collectIptablesPorts(selection, part?.backend === "iptables");
    removePorts(goingWithout(selection), others, [], site);
    whereUsable("remove chains of port mappings", (nft) => dropUnusedChains(nft, PORT_CHAIN_PREFIX));
  },

  list: () =>
    decidingSets
      .flatMap((set) => listElements(INET_TABLE, set, (key) => `host port ${portOfKey(key)} in map ${set}`))
      .map(({ comment, what }) => {
        const [link] = comment.split(" ").slice(3);
        const words = comment.split(" ").slice(0, 3).join(" ");
        return { comment: words, what, ...(link !== undefined && link !== UNKNOWN_LINK && { link }) };
      }),

  status: ({ backend }) => statusOfBackend(backend, INET_FRAME),
};

function lead(part: PortsPart, site: Site, undo: Undo, isMended: boolean): void {
  if (isEmpty(part)) return;
  const claim: Claim = { owner: site.owner, ports: part, host: site.host };
  withLocalhost(part, site, undo, () => {
    const map = part.backend === "iptables" ? applyChains : applyPortMaps;
    keepLocalhostOut({ pods: map(claim, site.hostLink, undo, isMended), linkless: [] }, site);
  });
  forgetOld(site.host, part);
}

const listPorts = ({ mappings }: PortsPart): string =>
  mappings.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`).join(", ");

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

/** Makes the mappings by iptables; gives the pods that those which gave way led to. */
function applyChains(claim: Claim, hostLink: string | undefined, undo: Undo): Ip[] {
  const elsewhere = whereUsable("look for holders of host ports", (nft): TakeOver[] => [
    takeFromReference(nft, claim),
    takeFromMaps(nft, claim),
  ]);
  const others = [...(elsewhere ?? []), takeFromIptables(claim, otherTools)];
  const former = applyIptablesPorts(claim, hostLink, undo);
  return explained("take over host ports", () => [...former, ...others.flatMap((takeOver) => takeOver())]);
}

/** As `applyChains`, in podwire's maps. */
function applyPortMaps(claim: Claim, hostLink: string | undefined, undo: Undo, isMended = false): Ip[] {
  const { owner, ports } = claim;
  const ruleset: Ruleset = { ...fullRuleset(owner, hostLink, ports), isMended };
  const comment = portComment(owner, hostLink);
  const former: Ip[] = [];
  const replace: Ruleset["replace"] = (found, { what }) => {
    assertAvailable(found, what.replace(/^host port | in map .*$/g, ""), claim);
    if (found.data) former.push(ipFromBytes(decodeTarget(found.data)));
  };
  const registerUndo = (elements: readonly ElementSpec[]): void => {
    const refs = elements.map((element) => ({ table: INET_TABLE, ...element }));
    undo.push("remove port mappings", () => Nftables.use((nft) => nft.deleteElements(refs, isPortOf(owner))));
  };
  return explained(`write the port mappings of ${portLabel(owner)}`, () =>
    Nftables.use((nft) => {
      const elsewhere = [
        takeOverlapping(nft, claim),
        takeFromReference(nft, claim),
        takeFromIptables(claim, filledTools),
      ];
      if (hasConditions(ports)) {
        applyRulesets(nft, [{ ...ruleset, elements: [] }]);
        ensureConditions(nft, ports, chainsOf(ports));
      }
      const before = findOwned(nft, owner).ports;
      const owned = ownerElements(owner, comment, [...before, ...ports.mappings]);
      // what an earlier ADD had stays noted, should this one fail
      const mine = before.length > 0 ? ruleset.elements : [...ruleset.elements, ...owned];
      try {
        applyRulesets(nft, [{ ...ruleset, elements: [...ruleset.elements, ...owned], replace }]);
      } catch (error) {
        // the kernel's answer was lost: they may be there all the same
        if (isErrno(error, "ENOBUFS")) registerUndo(mine);
        throw error;
      }
      registerUndo(mine);
      return [...former, ...elsewhere.flatMap((takeOver) => takeOver())];
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

function compareMappings(part: PortsPart, { owner, hostLink, view }: Site): Comparison {
  if (part.backend === "iptables") return checkIptablesPorts(owner, part, { view });
  const differences = explained("read nftables", () =>
    Nftables.use((nft) => comparePortMaps(nft, owner, hostLink, part)),
  );
  return { differences, isForeign: false };
}

function comparePortMaps(nft: Nftables, owner: Owner, hostLink: string | undefined, ports: PortsPart): string[] {
  const conditional = chainsOf(ports).map(({ family, name }) => conditionChain(ports.conditions[family], name));
  const missing = conditional.filter((chain) => !nft.findChain(INET_TABLE, chain));
  return [
    ...missing.map((chain) => `nftables table podwire, chain ${chain}: missing`),
    ...compareRulesets(nft, [fullRuleset(owner, hostLink, ports)]),
  ];
}

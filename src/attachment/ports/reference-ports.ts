import type { Rule } from "../../netlink/nftables/decode.ts";
import { nfproto } from "../../netlink/nftables/match.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import type { Table } from "../../netlink/nftables/object.ts";
import { decodeTranslation, type Translation } from "../../netlink/nftables/translation.ts";
import { families, type Family, type Ip, ipFromBytes, sameIp } from "../../net/ip.ts";
import type { Owner, PortMapping, PortsPart } from "../attachment.ts";
import { whereUsable } from "../firewall/explained.ts";
import { filledTools, hasRules } from "../firewall/iptables.ts";
import { DNAT } from "./chains.ts";
import { assertGone, type Claim, claimedPorts, portText, type TakeOver } from "./holder.ts";
import { checkIptablesPorts, removeIptablesPorts } from "./iptables-ports.ts";
import { hostAddress, mappingsFor, protocolNumber } from "./keys.ts";

// Port mappings the Go reference plugin made: by nftables in tables of its own, where a rule's comment is the container
// id, or by iptables, in chains podwire's iptables backend uses as well.

const TRANSLATING = ["hostports", "hostip_hostports"];
const HOSTPORT_CHAINS = [...TRANSLATING, "masquerading"];

const hostportTable = (family: Family): Table => ({ family: nfproto(family), name: "cni_hostport" });

/**
 * Looks for claimed ports in the reference's nftables tables: throws when a live pod has one, else gives what removes
 * the rules of those who have.
 */
export function takeFromReference(nft: Nftables, claim: Claim): TakeOver {
  const taken = claimedPorts(claim).flatMap(({ family, mappings }) => {
    const table = hostportTable(family);
    const rules = nft.rules(table);
    return rules.length === 0
      ? []
      : takenContainers(translationsIn(rules), family, { claim, mappings }).map((containerId) => ({
          table,
          containerId,
        }));
  });
  return () => taken.flatMap(({ table, containerId }) => removeHostPorts(nft, table, containerId));
}

/** The rules that say whose they are and have the reference's form, by container. */
function translationsIn(rules: readonly Rule[]): Map<string, Translation[]> {
  const found = new Map<string, Translation[]>();
  for (const rule of rules) {
    const decoded = TRANSLATING.includes(rule.chain) && rule.comment !== "" ? decodeTranslation(rule) : undefined;
    if (decoded) found.set(rule.comment, [...(found.get(rule.comment) ?? []), decoded]);
  }
  return found;
}

/** The containers that have a claimed port and must give way. */
function takenContainers(
  found: ReadonlyMap<string, Translation[]>,
  family: Family,
  { claim, mappings }: { claim: Claim; mappings: readonly PortMapping[] },
): string[] {
  return [...found].flatMap(([container, translations]) => {
    const held = mappings.find((mapping) => translations.some((each) => overlaps(each, mapping)));
    if (!held) return [];
    const place = `rules of the reference portmap, nftables table ${family === 4 ? "ip" : "ip6"} cni_hostport`;
    if (container !== claim.owner.containerId) {
      assertGone(
        { container, targets: translations.map(({ target }) => ipFromBytes(target)), place },
        portText(held),
        claim,
      );
    }
    return [container];
  });
}

function overlaps({ protocol, port, address }: Translation, mapping: PortMapping): boolean {
  const wanted = hostAddress(mapping);
  return (
    protocol === protocolNumber[mapping.protocol] &&
    port === mapping.hostPort &&
    (!address || !wanted || sameIp(ipFromBytes(address), wanted))
  );
}

/**
 * Removes the port mappings the reference made for a container, in nftables and in iptables, and says which pods they
 * led to. They do not say of which interface they are: where none are asked for (not `isAsked`), those that lead
 * elsewhere than to the `addresses` stay, and the old iptables, whose whole table must be read, is left alone.
 */
export function removeReferencePorts(owner: Owner, addresses: readonly Ip[], isAsked: boolean): Ip[] {
  const isIts = (led: readonly Ip[]): boolean =>
    isAsked || addresses.length === 0 || led.every((pod) => addresses.some((ip) => sameIp(ip, pod)));
  const led = whereUsable("remove the port mappings of other plugins", (nft) =>
    families.flatMap((family) => {
      const found = targetsIn(nft.rules(hostportTable(family)), owner.containerId);
      return (isAsked || found.length > 0) && isIts(found)
        ? removeHostPorts(nft, hostportTable(family), owner.containerId)
        : [];
    }),
  );
  return [...(led ?? []), ...removeIptablesPorts(owner, { isIts, thorough: isAsked }).pods];
}

/** The pods that a container's rules lead to, or everybody's. */
const targetsIn = (rules: readonly Rule[], containerId?: string): Ip[] =>
  rules.flatMap((rule) => {
    const isWanted = TRANSLATING.includes(rule.chain) && (containerId === undefined || rule.comment === containerId);
    const target = isWanted ? decodeTranslation(rule)?.target : undefined;
    return target ? [ipFromBytes(target)] : [];
  });

/** Gives the pods they led to. */
function removeHostPorts(nft: Nftables, table: Table, containerId: string): Ip[] {
  const led = targetsIn(nft.rules(table), containerId);
  nft.deleteRules(table, ({ chain, comment }) => HOSTPORT_CHAINS.includes(chain) && comment === containerId);
  return led;
}

/** The pods that the reference's nftables rules lead to. */
export const referenceTargets = (nft: Nftables, family: Family): Ip[] => targetsIn(nft.rules(hostportTable(family)));

/** True when all port mappings of a container are there as the reference makes them, in either of its backends. */
export function hasReferencePorts(owner: Owner, ports: PortsPart): boolean {
  const counts = whereUsable(
    "look for the port mappings of other plugins",
    (nft) => new Map(families.map((family) => [family, countHostPorts(nft, family, owner)])),
  );
  return ports.addresses.every((pod) => {
    const wanted = mappingsFor(pod, ports).length;
    const { family } = pod.ip;
    return (
      (counts?.get(family) ?? 0) >= wanted ||
      filledTools(family, hasRules(DNAT)).some(
        (tools) =>
          checkIptablesPorts(owner, { ...ports, addresses: [pod] }, { toolsOf: () => tools }).differences.length === 0,
      )
    );
  });
}

const countHostPorts = (nft: Nftables, family: Family, { containerId }: Owner): number =>
  nft.rules(hostportTable(family), "hostports").filter(({ comment }) => comment === containerId).length;

import { CniError, Code } from "../../cni/error.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import {
  families,
  type Family,
  formatIp,
  formatPrefix,
  hostPrefix,
  networkOf,
  parseIp,
  type Prefix,
} from "../../net/ip.ts";
import type { Owner, PortMapping, PortsPart } from "../attachment.ts";
import {
  assertIptables,
  changeNat,
  commentMatch,
  hasIptables,
  hasLegacyNat,
  type NatTable,
  natTable,
  readNat,
  replaceChain,
} from "../firewall/iptables.ts";
import {
  chainNote,
  chainOf,
  DNAT,
  entriesOf,
  isChainOf,
  isReferences,
  removeChain,
  takenChains,
  targetOf,
} from "./chains.ts";
import { type Claim, claimedPorts, type TakeOver, UNKNOWN_LINK } from "./holder.ts";
import { hostAddress, mappingsFor } from "./keys.ts";
import type { UdpFlow } from "./stale-flows.ts";
import type { Undo } from "../undo.ts";

// The reference's own chains and rules, spelled as iptables-save prints them, so that either program finds the other's.

const SETMARK = "CNI-HOSTPORT-SETMARK";
const MASQ = "CNI-HOSTPORT-MASQ";
const ENTRY = "-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT";
const LOCALHOST_RETURN = "-d ::1/128 -j RETURN";
/** What one entry rule can list (XT_MULTI_PORTS). */
const PORTS_PER_ENTRY = 15;

const entryComment = ({ network, containerId }: Owner): string =>
  commentMatch(`dnat name: "${network}" id: "${containerId}"`);
const source = (prefix: Prefix): string => (prefix.length === 0 ? "" : `-s ${formatPrefix(networkOf(prefix))} `);

/** Makes the mappings: one look at table nat and one iptables-restore per family. */
export function applyIptablesPorts(claim: Claim, hostLink: string | undefined, undo: Undo): void {
  const { owner, ports } = claim;
  assertIptables(ports.addresses.map(({ ip }) => ip.family));
  for (const pod of ports.addresses) {
    const mappings = mappingsFor(pod, ports);
    if (mappings.length === 0) continue;
    const family = pod.ip.family;
    changeNat(family, (nat) => {
      const chain = chainOf(nat, owner);
      const taken = takenChains(nat, family, claim).filter((other) => other !== chain);
      return [
        ...taken.flatMap((other) => removeChain(nat, other)),
        ...sharedRules(nat, ports),
        ...ownRules(nat, owner, { chain, pod, ports, mappings, hostLink: hostLink ?? UNKNOWN_LINK }),
      ];
    });
    undo.push("remove port mappings", () => removeFamily(owner, family));
  }
}

/**
 * For the nftables backend: looks for claimed ports in table nat, throws when a live pod has one, else gives what
 * removes the chains of those who have. The tool is run only where there is something to read: nothing is needed on a
 * node without iptables.
 */
export function takeFromIptables(nft: Nftables, claim: Claim): TakeOver {
  const isFilled = (family: Family): boolean => nft.rules(natTable(family), DNAT).length > 0 || hasLegacyNat(family);
  const taken = claimedPorts(claim).filter(
    ({ family }) => isFilled(family) && hasIptables(family) && takenChains(readNat(family), family, claim).length > 0,
  );
  return () => {
    for (const { family } of taken) {
      changeNat(family, (nat) => takenChains(nat, family, claim).flatMap((chain) => removeChain(nat, chain)));
    }
  };
}

/**
 * The chains all containers share, as far as they are missing. `-N` fails where somebody made one just now, and all is
 * planned again.
 */
function sharedRules(nat: NatTable, { snat, externalSetMarkChain, markMasqBit }: PortsPart): string[] {
  const mark = `0x${((1 << markMasqBit) >>> 0).toString(16)}`;
  const chain = (name: string): string[] => (nat.has(name) ? [] : [`-N ${name}`]);
  const rule = (name: string, text: string, command = "-A"): string[] =>
    nat.get(name)?.includes(text) ? [] : [`${command} ${name} ${text}`];
  if (snat && externalSetMarkChain !== undefined && !nat.has(externalSetMarkChain)) {
    throw new CniError(
      Code.InvalidConfig,
      `externalSetMarkChain: table nat has no chain ${JSON.stringify(externalSetMarkChain)}`,
    );
  }
  const marking = [
    ...chain(SETMARK),
    ...rule(SETMARK, `${commentMatch("CNI portfwd masquerade mark")} -j MARK --set-xmark ${mark}/${mark}`),
    ...chain(MASQ),
    ...rule(MASQ, `-m mark --mark ${mark}/${mark} -j MASQUERADE`),
    ...rule("POSTROUTING", `${commentMatch("CNI portfwd requiring masquerade")} -j ${MASQ}`, "-I"),
  ];
  return [
    ...(snat && externalSetMarkChain === undefined ? marking : []),
    ...chain(DNAT),
    ...rule("PREROUTING", ENTRY),
    ...rule("OUTPUT", ENTRY),
  ];
}

interface Own {
  chain: string;
  pod: Prefix;
  ports: PortsPart;
  mappings: PortMapping[];
  hostLink: string;
}

/**
 * The container's chain and the entries that lead to it, first in their chain so that nothing left behind shadows them.
 */
function ownRules(nat: NatTable, owner: Owner, own: Own): string[] {
  return [
    ...entriesOf(nat, own.chain).map((rule) => `-D ${DNAT} ${rule}`),
    ...replaceChain(own.chain, [...chainRules(own), chainNote(owner, own.hostLink)]),
    ...entryRules(owner, own).map((rule) => `-I ${DNAT} ${rule}`),
  ];
}

const match = (mapping: PortMapping): string => {
  const address = hostAddress(mapping);
  const destination = address ? `-d ${formatPrefix(hostPrefix(address))} ` : "";
  return `${destination}-p ${mapping.protocol} -m ${mapping.protocol} --dport ${mapping.hostPort}`;
};

function chainRules({ pod, ports, mappings }: Own): string[] {
  const setMark = ports.externalSetMarkChain ?? SETMARK;
  const sources = ports.masqAll ? [""] : [source(pod), ...(pod.ip.family === 4 ? ["-s 127.0.0.1/32 "] : [])];
  const target = pod.ip.family === 4 ? formatIp(pod.ip) : `[${formatIp(pod.ip)}]`;
  // IPv6 has no route_localnet: [::1] is left to whoever listens there, so it is refused, not lost
  const localhost = pod.ip.family === 6 ? [LOCALHOST_RETURN] : [];
  return [
    ...localhost,
    ...mappings.flatMap((mapping) => [
      ...(ports.snat ? sources.map((from) => `${from}${match(mapping)} -j ${setMark}`) : []),
      `${match(mapping)} -j DNAT --to-destination ${target}:${mapping.containerPort}`,
    ]),
  ];
}

function entryRules(owner: Owner, { chain, pod, ports, mappings }: Own): string[] {
  const conditions = ports.conditions[pod.ip.family].map((word) => `${quoted(word)} `).join("");
  const protocols = [...new Set(mappings.map(({ protocol }) => protocol))].toSorted();
  return protocols.flatMap((protocol) => {
    const numbers = [
      ...new Set(mappings.filter((mapping) => mapping.protocol === protocol).map(({ hostPort }) => hostPort)),
    ];
    return Array.from({ length: Math.ceil(numbers.length / PORTS_PER_ENTRY) }, (_, group) => {
      const listed = numbers.slice(group * PORTS_PER_ENTRY, (group + 1) * PORTS_PER_ENTRY);
      return `-p ${protocol} ${entryComment(owner)} -m multiport --dports ${listed.join(",")} ${conditions}-j ${chain}`;
    });
  });
}

const quoted = (word: string): string => (/^[\w!.,:/-]+$/.test(word) ? word : `"${word.replaceAll(/["\\]/g, "\\$&")}"`);

/** What was taken away: whether there was anything, and the UDP ports that flows may remember. */
export interface Removed {
  found: boolean;
  udp: UdpFlow[];
}

/** Takes away the interface's chains, in both families; those of the container's other interfaces stay. */
export function removeIptablesPorts(owner: Owner): Removed {
  const removed = families.filter((family) => hasIptables(family)).map((family) => removeFamily(owner, family));
  return { found: removed.some(({ found }) => found), udp: removed.flatMap(({ udp }) => udp) };
}

function removeFamily(owner: Owner, family: Family): Removed {
  let removed: Removed = { found: false, udp: [] };
  changeNat(family, (nat) => {
    const chain = chainOf(nat, owner);
    const lines = removeChain(nat, chain);
    if (lines.length > 0) {
      removed = { found: true, udp: (nat.get(chain) ?? []).flatMap((rule) => udpFlowOf(rule, family) ?? []) };
    }
    return lines;
  });
  return removed;
}

function udpFlowOf(rule: string, family: Family): UdpFlow | undefined {
  const found = /^(?:-d (\S+)\/\d+ )?-p udp -m udp --dport (\d+) -j DNAT /.exec(rule);
  if (!found) return undefined;
  const address = found[1] === undefined ? undefined : parseIp(found[1]);
  return { family, hostPort: Number(found[2]), ...(address && { address }), pod: targetOf(rule) };
}

/** GC: takes away the chains of the network's attachments that are not valid. */
export function collectIptablesPorts(network: string, valid: readonly Omit<Owner, "network">[]): void {
  const ofNetwork = `--comment "dnat name: \\"${network}\\" id: `;
  for (const family of families) {
    if (!hasIptables(family)) continue;
    changeNat(family, (nat) => {
      const chains = (nat.get(DNAT) ?? [])
        .filter((rule) => rule.includes(ofNetwork))
        .flatMap((rule) => /-j (CNI-DN-\w+)$/.exec(rule)?.[1] ?? []);
      const isKept = (chain: string): boolean =>
        valid.some((attachment) => isChainOf(nat, chain, { network, ...attachment }));
      return [...new Set(chains)].filter((chain) => !isKept(chain)).flatMap((chain) => removeChain(nat, chain));
    });
  }
}

/** What CHECK finds wrong, in words. */
export function checkIptablesPorts(owner: Owner, ports: PortsPart): string[] {
  return ports.addresses.flatMap((pod) => {
    const mappings = mappingsFor(pod, ports);
    if (mappings.length === 0) return [];
    const nat = readNat(pod.ip.family);
    const chain = chainOf(nat, owner);
    const own: Own = { chain, pod, ports, mappings, hostLink: "" };
    const where = `iptables table nat (IPv${pod.ip.family})`;
    // the reference does nothing about [::1]
    const rules = chainRules(own).filter((rule) => rule !== LOCALHOST_RETURN || !isReferences(nat, chain));
    const lacks = (chain: string, wanted: readonly string[]): string[] =>
      wanted
        .filter((rule) => !nat.get(chain)?.includes(rule))
        .map((rule) => `${where}, chain ${chain}: lacks the rule ${rule}`);
    return [
      ...sharedRules(nat, ports).map((line) => `${where}: lacks ${line.replace(/^-\w /, "")}`),
      ...lacks(chain, rules),
      ...missingEntries(nat, owner, own, where),
    ];
  });
}

/**
 * Conditions are printed by iptables-save in an order and spelling of its own: entries that have some are compared
 * without them.
 */
function missingEntries(nat: NatTable, owner: Owner, own: Own, where: string): string[] {
  const found = entriesOf(nat, own.chain);
  const plain = entryRules(owner, { ...own, ports: { ...own.ports, conditions: { 4: [], 6: [] } } });
  const hasConditions = own.ports.conditions[own.pod.ip.family].length > 0;
  const isThere = (rule: string): boolean => {
    const dports = /--dports (\S+)/.exec(rule)![1]!;
    return hasConditions ? found.some((other) => other.includes(`--dports ${dports} `)) : found.includes(rule);
  };
  return plain.filter((rule) => !isThere(rule)).map((rule) => `${where}, chain ${DNAT}: lacks the rule ${rule}`);
}

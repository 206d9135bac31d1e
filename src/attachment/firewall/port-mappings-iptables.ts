import { CniError, Code } from "../../cni/error.ts";
import { type Family, formatIp, formatPrefix, hostPrefix, networkOf, parseIp, type Prefix } from "../../net/ip.ts";
import type { Owner, PortMapping, PortMappings } from "../attachment.ts";
import { assertIptables, changeNat, commentMatch, dropChain, hasIptables, type NatTable, readNat, replaceChain } from "./iptables.ts";
import { describePort, hostAddress, mappingsFor } from "./port-maps.ts";
import type { UdpFlow } from "./stale-flows.ts";
import type { RegisterUndo } from "./traces.ts";

// The reference's own chains and rules, spelled as iptables-save prints them, so that either program finds the other's.

const families: readonly Family[] = [4, 6];
const DNAT = "CNI-HOSTPORT-DNAT";
const SETMARK = "CNI-HOSTPORT-SETMARK";
const MASQ = "CNI-HOSTPORT-MASQ";
const ENTRY = "-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT";
const LOCALHOST_RETURN = "-d ::1/128 -j RETURN";
/** What one entry rule can list (XT_MULTI_PORTS). */
const PORTS_PER_ENTRY = 15;

type Container = Pick<Owner, "network" | "containerId">;

/** The reference's name: 28 characters of `CNI-DN-` and SHA-512 over network name and container id, joined without a separator. */
export const portChain = ({ network, containerId }: Container): string =>
  `CNI-DN-${new Bun.CryptoHasher("sha512").update(`${network}${containerId}`).digest("hex")}`.slice(0, 28);

const entryComment = ({ network, containerId }: Container): string => commentMatch(`dnat name: "${network}" id: "${containerId}"`);
/** A rule that decides nothing and says whose the chain is: the name of the chain does not. */
const note = (ifname: string, link: string): string => commentMatch(`interface: "${ifname}" link: "${link}"`);
const notePattern = /^-m comment --comment "interface: \\"(.*)\\" link: \\"(.*)\\""$/;

const jumpsTo = (chain: string) => (rule: string): boolean => rule.endsWith(` -j ${chain}`);
const source = (prefix: Prefix): string => (prefix.length === 0 ? "" : `-s ${formatPrefix(networkOf(prefix))} `);

/** Whom a change is for, and what it must look at. */
interface Application {
  ports: PortMappings;
  linkExists: (name: string) => boolean;
  undo: RegisterUndo;
}

/** Makes the mappings: one look at table nat and one iptables-restore per family. */
export function applyIptablesPorts(owner: Owner, hostLink: string | undefined, { ports, linkExists, undo }: Application): void {
  assertIptables(ports.addresses.map(({ ip }) => ip.family));
  for (const pod of ports.addresses) {
    const mappings = mappingsFor(pod, ports);
    if (mappings.length === 0) continue;
    const family = pod.ip.family;
    changeNat(family, (nat) => {
      const gone = goneHolders(nat, owner, mappings, linkExists);
      return [...gone.flatMap((chain) => removeChain(nat, chain)), ...sharedRules(nat, ports), ...ownRules(nat, owner, { pod, ports, mappings, hostLink: hostLink ?? "-" })];
    });
    undo(() => removeFamily(owner, family));
  }
}

/** The chains all containers share, as far as they are missing. `-N` fails where somebody made one just now, and all is planned again. */
function sharedRules(nat: NatTable, { snat, externalSetMarkChain, markMasqBit }: PortMappings): string[] {
  const mark = `0x${((1 << markMasqBit) >>> 0).toString(16)}`;
  const chain = (name: string): string[] => (nat.has(name) ? [] : [`-N ${name}`]);
  const rule = (name: string, text: string, command = "-A"): string[] => (nat.get(name)?.includes(text) ? [] : [`${command} ${name} ${text}`]);
  if (snat && externalSetMarkChain !== undefined && !nat.has(externalSetMarkChain)) {
    throw new CniError(Code.InvalidConfig, `externalSetMarkChain: table nat has no chain ${JSON.stringify(externalSetMarkChain)}`);
  }
  const marking = [
    ...chain(SETMARK),
    ...rule(SETMARK, `${commentMatch("CNI portfwd masquerade mark")} -j MARK --set-xmark ${mark}/${mark}`),
    ...chain(MASQ),
    ...rule(MASQ, `-m mark --mark ${mark}/${mark} -j MASQUERADE`),
    ...rule("POSTROUTING", `${commentMatch("CNI portfwd requiring masquerade")} -j ${MASQ}`, "-I"),
  ];
  return [...(snat && externalSetMarkChain === undefined ? marking : []), ...chain(DNAT), ...rule("PREROUTING", ENTRY), ...rule("OUTPUT", ENTRY)];
}

interface Own {
  pod: Prefix;
  ports: PortMappings;
  mappings: PortMapping[];
  hostLink: string;
}

/** The container's chain and the entries that lead to it, first in their chain so that nothing left behind shadows them. */
function ownRules(nat: NatTable, owner: Owner, own: Own): string[] {
  const chain = portChain(owner);
  const old = (nat.get(DNAT) ?? []).filter(jumpsTo(chain));
  return [
    ...old.map((rule) => `-D ${DNAT} ${rule}`),
    ...replaceChain(chain, [...chainRules(own), note(owner.ifname, own.hostLink)]),
    ...entryRules(owner, own).map((rule) => `-I ${DNAT} ${rule}`),
  ];
}

const match = (mapping: PortMapping): string => {
  const address = hostAddress(mapping);
  return `${address ? `-d ${formatPrefix(hostPrefix(address))} ` : ""}-p ${mapping.protocol} -m ${mapping.protocol} --dport ${mapping.hostPort}`;
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

function entryRules(owner: Owner, { pod, ports, mappings }: Own): string[] {
  const conditions = ports.conditions[pod.ip.family].map((word) => `${quoted(word)} `).join("");
  const protocols = [...new Set(mappings.map(({ protocol }) => protocol))].toSorted();
  return protocols.flatMap((protocol) => {
    const numbers = [...new Set(mappings.filter((mapping) => mapping.protocol === protocol).map(({ hostPort }) => hostPort))];
    return Array.from({ length: Math.ceil(numbers.length / PORTS_PER_ENTRY) }, (_, group) => {
      const listed = numbers.slice(group * PORTS_PER_ENTRY, (group + 1) * PORTS_PER_ENTRY);
      return `-p ${protocol} ${entryComment(owner)} -m multiport --dports ${listed.join(",")} ${conditions}-j ${portChain(owner)}`;
    });
  });
}

const quoted = (word: string): string => (/^[\w!.,:/-]+$/.test(word) ? word : `"${word.replaceAll(/["\\]/g, "\\$&")}"`);

const noteOf = (nat: NatTable, chain: string): { ifname: string; link: string } | undefined => {
  const found = (nat.get(chain) ?? []).map((rule) => notePattern.exec(rule)).find(Boolean);
  return found ? { ifname: found[1]!, link: found[2]! } : undefined;
};

/** Chains of gone pods that hold one of the ports; a live holder is an error. What the reference made says nothing about life, and stays. */
function goneHolders(nat: NatTable, owner: Owner, mappings: readonly PortMapping[], linkExists: (name: string) => boolean): string[] {
  return [...nat.keys()].filter((chain) => {
    const holder = chain.startsWith("CNI-DN-") && chain !== portChain(owner) ? noteOf(nat, chain) : undefined;
    const held = holder && mappings.find((mapping) => nat.get(chain)!.some((rule) => holds(rule, mapping)));
    if (!holder || !held) return false;
    if (holder.link !== "-" && !linkExists(holder.link)) return true;
    const entry = nat.get(DNAT)?.find(jumpsTo(chain)) ?? "";
    const [, network, container] = /name: \\"(.*?)\\" id: \\"(.*?)\\"/.exec(entry) ?? [];
    throw new CniError(Code.TryAgainLater, `host port ${describePort(held, hostAddress(held))} is held by container ${container ?? `of chain ${chain}`}, interface ${holder.ifname}, network ${network ?? "unknown"}`);
  });
}

/** True for a rule that translates the mapping's port, at its host address, or one of them at any. */
function holds(rule: string, mapping: PortMapping): boolean {
  if (!rule.includes(`-p ${mapping.protocol} -m ${mapping.protocol} --dport ${mapping.hostPort} -j DNAT `)) return false;
  const address = hostAddress(mapping);
  const other = /^-d (\S+)/.exec(rule)?.[1];
  return !address || other === undefined || other === formatPrefix(hostPrefix(address));
}

const removeChain = (nat: NatTable, chain: string): string[] =>
  nat.has(chain) ? [...(nat.get(DNAT) ?? []).filter(jumpsTo(chain)).map((rule) => `-D ${DNAT} ${rule}`), ...dropChain(chain)] : [];

/** What was taken away: whether there was anything, and the UDP ports that flows may remember. */
export interface Removed {
  found: boolean;
  udp: UdpFlow[];
}

/** Takes away the container's chains, in both families; those of its other interface stay. */
export function removeIptablesPorts(owner: Owner): Removed {
  const removed = families.filter((family) => hasIptables(family)).map((family) => removeFamily(owner, family));
  return { found: removed.some(({ found }) => found), udp: removed.flatMap(({ udp }) => udp) };
}

function removeFamily(owner: Owner, family: Family): Removed {
  let removed: Removed = { found: false, udp: [] };
  changeNat(family, (nat) => {
    const chain = portChain(owner);
    const holder = noteOf(nat, chain);
    const lines = holder && holder.ifname !== owner.ifname ? [] : removeChain(nat, chain);
    if (lines.length > 0) removed = { found: true, udp: (nat.get(chain) ?? []).flatMap((rule) => udpFlowOf(rule, family) ?? []) };
    return lines;
  });
  return removed;
}

function udpFlowOf(rule: string, family: Family): UdpFlow | undefined {
  const found = /^(?:-d (\S+)\/\d+ )?-p udp -m udp --dport (\d+) -j DNAT --to-destination (?:\[(.*)\]|([^:]*)):\d+$/.exec(rule);
  if (!found) return undefined;
  const address = found[1] === undefined ? undefined : parseIp(found[1]);
  return { family, hostPort: Number(found[2]), ...(address && { address }), pod: parseIp(found[3] ?? found[4] ?? "") };
}

/** GC: takes away the chains of the network's containers that have no valid attachment. */
export function collectIptablesPorts(network: string, valid: readonly { containerId: string }[]): void {
  const kept = new Set(valid.map(({ containerId }) => portChain({ network, containerId })));
  const ofNetwork = `--comment "dnat name: \\"${network}\\" id: `;
  for (const family of families) {
    if (!hasIptables(family)) continue;
    changeNat(family, (nat) => {
      const chains = (nat.get(DNAT) ?? []).filter((rule) => rule.includes(ofNetwork)).flatMap((rule) => /-j (CNI-DN-\w+)$/.exec(rule)?.[1] ?? []);
      return [...new Set(chains)].filter((chain) => !kept.has(chain)).flatMap((chain) => removeChain(nat, chain));
    });
  }
}

/** What CHECK finds wrong, in words. */
export function checkIptablesPorts(owner: Owner, ports: PortMappings): string[] {
  return ports.addresses.flatMap((pod) => {
    const mappings = mappingsFor(pod, ports);
    if (mappings.length === 0) return [];
    const nat = readNat(pod.ip.family);
    const own: Own = { pod, ports, mappings, hostLink: "" };
    const where = `iptables table nat (IPv${pod.ip.family})`;
    const chain = portChain(owner);
    // a chain without podwire's note is the reference's, which does nothing about [::1]
    const isForeign = nat.has(chain) && !noteOf(nat, chain);
    const rules = chainRules(own).filter((rule) => !isForeign || rule !== LOCALHOST_RETURN);
    const lacks = (chain: string, wanted: readonly string[]): string[] =>
      wanted.filter((rule) => !nat.get(chain)?.includes(rule)).map((rule) => `${where}, chain ${chain}: lacks the rule ${rule}`);
    return [...sharedRules(nat, ports).map((line) => `${where}: lacks ${line.replace(/^-\w /, "")}`), ...lacks(chain, rules), ...missingEntries(nat, owner, own, where)];
  });
}

/** Conditions are printed by iptables-save in an order and spelling of its own: entries that have some are compared without them. */
function missingEntries(nat: NatTable, owner: Owner, own: Own, where: string): string[] {
  const found = (nat.get(DNAT) ?? []).filter(jumpsTo(portChain(owner)));
  const plain = entryRules(owner, { ...own, ports: { ...own.ports, conditions: { 4: [], 6: [] } } });
  const hasConditions = own.ports.conditions[own.pod.ip.family].length > 0;
  const isThere = (rule: string): boolean => {
    const dports = /--dports (\S+)/.exec(rule)![1]!;
    return hasConditions ? found.some((other) => other.includes(`--dports ${dports} `)) : found.includes(rule);
  };
  return plain.filter((rule) => !isThere(rule)).map((rule) => `${where}, chain ${DNAT}: lacks the rule ${rule}`);
}

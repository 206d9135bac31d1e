import { CniError, Code } from "../../cni/error.ts";
import { formatIp, formatPrefix, hostPrefix, networkOf, type Prefix } from "../../net/ip.ts";
import type { Owner, PortMapping, PortsPart } from "../attachment.ts";
import { commentMatch, replaceChain } from "../firewall/iptables.ts";
import type { ChainRules } from "../firewall/chain-rules.ts";
import { containerWords } from "../firewall/iptables-words.ts";
import { chainNames, chainNote, DNAT, entriesOf } from "./chains.ts";
import { hostAddress } from "./keys.ts";

// The reference's own chains and rules, spelled as iptables-save prints them, so that either program finds the other's.

const SETMARK = "CNI-HOSTPORT-SETMARK";
const MASQ = "CNI-HOSTPORT-MASQ";
const ENTRY = "-m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT";
export const LOCALHOST_RETURN = "-d ::1/128 -j RETURN";
/** What one entry rule can list (XT_MULTI_PORTS). */
const PORTS_PER_ENTRY = 15;

const entryComment = (owner: Owner): string => commentMatch(containerWords("dnat ", owner));
const source = (prefix: Prefix): string => (prefix.length === 0 ? "" : `-s ${formatPrefix(networkOf(prefix))} `);

/** What a change of the owner's mappings looks at. */
export const looksAt = (owner: Owner, { snat, externalSetMarkChain }: PortsPart): string[] => [
  DNAT,
  "PREROUTING",
  "OUTPUT",
  ...chainNames(owner),
  ...(snat ? (externalSetMarkChain === undefined ? [SETMARK, MASQ, "POSTROUTING"] : [externalSetMarkChain]) : []),
];

/**
 * The chains all containers share, as far as they are missing. `-N` fails where somebody made one just now, and all is
 * planned again.
 */
export function sharedRules(nat: ChainRules, { snat, externalSetMarkChain, markMasqBit }: PortsPart): string[] {
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

/** One attachment's mappings of a family, and where they are kept. */
export interface Own {
  chain: string;
  pod: Prefix;
  ports: PortsPart;
  mappings: PortMapping[];
  hostLink: string;
}

/**
 * The container's chain and the entries that lead to it, first in their chain so that nothing left behind shadows them.
 */
export function ownRules(nat: ChainRules, owner: Owner, own: Own): string[] {
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

/** What the container's chain holds, but for the note. */
export function chainRules({ pod, ports, mappings }: Own): string[] {
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

/** What leads to the container's chain: by protocol, at most fifteen ports in each. */
export function entryRules(owner: Owner, { chain, pod, ports, mappings }: Own): string[] {
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

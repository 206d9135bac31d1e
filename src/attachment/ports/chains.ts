import { sha512 } from "../../kernel/hash.ts";
import { type Family, formatPrefix, hostPrefix, type Ip, parseIp } from "../../net/ip.ts";
import type { Owner, PortMapping } from "../attachment.ts";
import { commentMatch, dropChain } from "../firewall/iptables.ts";
import type { ChainRules } from "../firewall/chain-rules.ts";
import { isNoted, ownerNote } from "../firewall/iptables-words.ts";
import { assertGone, type Claim, claimedPorts, type Holder, portText, UNKNOWN_LINK } from "./holder.ts";
import { hostAddress } from "./keys.ts";

// The chains of port mappings in table nat, the reference's and podwire's alike: whose they are and which ports they
// hold.

/** The chain that leads to them all, by an entry for each protocol of each. */
export const DNAT = "CNI-HOSTPORT-DNAT";
const PREFIX = "CNI-DN-";
/** The longest name iptables takes (XT_EXTENSION_MAXNAMELEN, less the zero). */
const NAME_LENGTH = 28;

const chainName = (text: string): string => `${PREFIX}${sha512(text)}`.slice(0, NAME_LENGTH);

/**
 * The reference's name: it goes by network and container id, joined without a separator, and so all interfaces of a
 * container share it.
 */
const containerChain = ({ network, containerId }: Owner): string => chainName(`${network}${containerId}`);
/** The name for an interface that finds another one's ports there. */
const interfaceChain = ({ network, containerId, ifname }: Owner): string =>
  chainName(`${network}\0${containerId}\0${ifname}`);

/** The names a chain of the owner may have. */
export const chainNames = (owner: Owner): string[] => [interfaceChain(owner), containerChain(owner)];

/** A rule that decides nothing and says whose the chain is: the name of the chain does not. */
export const chainNote = (owner: Owner, link: string): string =>
  commentMatch(`interface: "${owner.ifname}" link: "${link}"${ownerNote("dnat ", owner)}`);

const NOTE = /^-m comment --comment "interface: \\"(.*)\\" link: \\"([^"]*)\\"(?: owner: \\"([^"]*)\\")?"$/;

/** `owner` as `ownerNote` has it, where the entries' comments do not tell it. */
function noteOf(
  nat: ChainRules,
  chain: string,
): { ifname: string; link: string; owner: string | undefined } | undefined {
  const [, ifname, link, owner] =
    nat
      .get(chain)
      ?.map((rule) => NOTE.exec(rule))
      .find(Boolean) ?? [];
  return ifname === undefined ? undefined : { ifname: ifname.replaceAll(/\\(.)/g, "$1"), link: link!, owner };
}

/** True for a chain without podwire's note: the reference made it. */
export const isReferences = (nat: ChainRules, chain: string): boolean => nat.has(chain) && !noteOf(nat, chain);

/** True for a chain of a pod that, by podwire's note, has no link of the host. */
export const isLinkless = (nat: ChainRules, chain: string): boolean => noteOf(nat, chain)?.link === UNKNOWN_LINK;

/**
 * Whether a chain is the owner's: the note names the interface; where there is none, it is any interface's of the
 * container.
 */
export const isChainOf = (nat: ChainRules, chain: string, owner: Owner): boolean =>
  chainNames(owner).includes(chain) && (noteOf(nat, chain)?.ifname ?? owner.ifname) === owner.ifname;

/** The owner's chain, or the name for one: the reference's unless another interface of the container has that. */
export function chainOf(nat: ChainRules, owner: Owner): string {
  const present = chainNames(owner).find((chain) => nat.has(chain) && isChainOf(nat, chain, owner));
  if (present !== undefined) return present;
  return nat.has(containerChain(owner)) ? interfaceChain(owner) : containerChain(owner);
}

/** The rules of `CNI-HOSTPORT-DNAT` that lead to the chain. */
export const entriesOf = (nat: ChainRules, chain: string): string[] =>
  (nat.get(DNAT) ?? []).filter((rule) => rule.endsWith(` -j ${chain}`));

/** Lines that delete the chain and what leads to it, none when it is not there. */
export const removeChain = (nat: ChainRules, chain: string): string[] =>
  nat.has(chain) ? [...entriesOf(nat, chain).map((rule) => `-D ${DNAT} ${rule}`), ...dropChain(chain)] : [];

/** The chains that `CNI-HOSTPORT-DNAT` leads to, by its entries. */
export const portChains = (nat: ChainRules, isWanted: (entry: string) => boolean = () => true): string[] => [
  ...new Set((nat.get(DNAT) ?? []).filter(isWanted).flatMap((entry) => / -j (CNI-DN-\w+)$/.exec(entry)?.[1] ?? [])),
];

/**
 * The owner's chains from when its network had another name: an entry names the container, unless its comment was cut,
 * and a note the interface.
 */
export function formerChains(nat: ChainRules, owner: Owner): string[] {
  const names = (entry: string): boolean => entry.includes(` id: \\"${owner.containerId}\\""`);
  const chains = portChains(nat, (entry) => names(entry) || !/ id: \\"[^"]*\\"" /.test(entry));
  nat.load(chains);
  return chains.filter((chain) => {
    const note = noteOf(nat, chain);
    if (note?.ifname !== owner.ifname) return false;
    return note.owner === undefined ? entriesOf(nat, chain).some(names) : isNoted(note.owner, owner);
  });
}

/**
 * The chains that translate a claimed port and must give way: the claimant's own from before, and those of gone pods.
 * Throws, naming the holder, when a live pod has one.
 */
export function takenChains(nat: ChainRules, family: Family, claim: Claim): string[] {
  const mappings = claimedPorts(claim).find((claimed) => claimed.family === family)?.mappings ?? [];
  const candidates = portChains(nat, (entry) => mappings.some((mapping) => mayHold(entry, mapping)));
  nat.load(candidates);
  return candidates.filter((chain) => {
    const held = mappings.find((mapping) => nat.get(chain)?.some((rule) => holds(rule, mapping)));
    const isOwn = isChainOf(nat, chain, claim.owner) || formerChains(nat, claim.owner).includes(chain);
    if (held && !isOwn) assertGone(holderOf(nat, family, chain), portText(held), claim);
    return held !== undefined;
  });
}

/** An entry lists the ports its chain translates. */
function mayHold(entry: string, { hostPort }: PortMapping): boolean {
  const [, listed] = /--dports (\S+)/.exec(entry) ?? [];
  return listed === undefined || listed.split(",").includes(`${hostPort}`);
}

/** True for a rule that translates the mapping's port, at its host address, or one of them at any. */
function holds(rule: string, mapping: PortMapping): boolean {
  if (!rule.includes(`-p ${mapping.protocol} -m ${mapping.protocol} --dport ${mapping.hostPort} -j DNAT `)) {
    return false;
  }
  const address = hostAddress(mapping);
  const other = /^-d (\S+)/.exec(rule)?.[1];
  return !address || other === undefined || other === formatPrefix(hostPrefix(address));
}

function holderOf(nat: ChainRules, family: Family, chain: string): Holder {
  const note = noteOf(nat, chain);
  const [, told = "", id] = /name: \\"(.*?)\\" id: \\"(.*?)\\"/.exec(entriesOf(nat, chain)[0] ?? "") ?? [];
  const [network, container] = note?.owner?.split(" ") ?? [told, id];
  const place = `${family === 4 ? "iptables" : "ip6tables"} table nat, chain ${chain}`;
  return {
    container: container ?? "unknown",
    network: network || "unknown",
    ...(note
      ? { ifname: note.ifname, link: note.link, place }
      : { targets: targetsOf(nat, chain), place: `rules of the reference portmap, ${place}` }),
  };
}

/** Where the chain's ports lead; none when one of its rules cannot be read, for then nothing is proved. */
export function targetsOf(nat: ChainRules, chain: string): Ip[] {
  const targets = (nat.get(chain) ?? []).filter((rule) => rule.includes(" -j DNAT ")).map(targetOf);
  return targets.every((target) => target !== undefined) ? targets : [];
}

/** The address a rule translates to. */
export function targetOf(rule: string): Ip | undefined {
  const found = / -j DNAT --to-destination (?:\[(.*)\]|([^:]*)):\d+$/.exec(rule);
  return found ? parseIp(found[1] ?? found[2]!) : undefined;
}

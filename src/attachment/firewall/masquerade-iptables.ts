import type { HostView } from "../host-view.ts";
import { sha512 } from "../../kernel/hash.ts";
import { decodeUtf8 } from "../../net/bytes.ts";
import {
  contains,
  families,
  type Family,
  formatIp,
  formatPrefix,
  hostPrefix,
  type Ip,
  networkOf,
  parsePrefix,
  type Prefix,
  sameIp,
} from "../../net/ip.ts";
import type { Owner } from "../attachment.ts";
import {
  changeTable,
  commentMatch,
  dropChain,
  assertIptables,
  filledTools,
  getTools,
  hasChain,
  type Look,
  seenTable,
  replaceChain,
  tryRestore,
} from "./iptables.ts";
import type { ChainRules } from "./chain-rules.ts";
import type { Selection } from "../kind.ts";
import type { Undo } from "../undo.ts";
import { areOfNetwork, containerWords, ownerNote } from "./iptables-words.ts";

// The reference's own chain and rules, so that either program removes what the other made. The chain belongs to a
// container and network: two interfaces share it, which is why a rule that decides nothing notes whose address is
// whose.

const multicast = { 4: "224.0.0.0/4", 6: "ff00::/8" } as const;

/**
 * The reference's name: `CNI-` and 24 hex digits of SHA-512 over network name and container id, joined without a
 * separator.
 */
export const iptablesChain = ({ network, containerId }: Pick<Owner, "network" | "containerId">): string =>
  `CNI-${sha512(`${network}${containerId}`).slice(0, 24)}`;

/** Says whose the address is that the rule is for. */
const noteOf = (owner: Owner): string => commentMatch(`interface: "${owner.ifname}"${ownerNote("", owner)}`);

interface Rules {
  chain: string;
  jump(ip: Ip): string;
  accept(subnet: Prefix): string;
  masquerade(family: Family): string;
  /** notes that the address is the interface's; matches, does nothing */
  note(ip: Ip): string;
}

function rulesOf(owner: Owner): Rules {
  const chain = iptablesChain(owner);
  const comment = commentMatch(containerWords("", owner));
  return {
    chain,
    jump: (ip) => `-s ${formatPrefix(hostPrefix(ip))} ${comment} -j ${chain}`,
    accept: (subnet) => `-d ${formatPrefix(networkOf(subnet))} ${comment} -j ACCEPT`,
    masquerade: (family) => `! -d ${multicast[family]} ${comment} -j MASQUERADE`,
    note: (ip) => `-s ${formatPrefix(hostPrefix(ip))} ${noteOf(owner)}`,
  };
}

const ofFamily = (addresses: readonly Prefix[], family: Family): Prefix[] =>
  addresses.filter(({ ip }) => ip.family === family);
const unique = (lines: readonly string[]): string[] => [...new Set(lines)];

/**
 * Masquerades by iptables: one iptables-restore per family, and one look at the table where the container has a chain
 * already.
 */
export function applyIptablesMasquerade(owner: Owner, addresses: readonly Prefix[], undo: Undo): void {
  const used = families.filter((family) => ofFamily(addresses, family).length > 0);
  if (used.includes(6)) assertIptables([6]);
  for (const family of used) {
    const own = ofFamily(addresses, family);
    undo.push("remove iptables rules", () =>
      removeFamily(
        owner,
        family,
        own.map(({ ip }) => ip),
      ),
    );
    const rules = rulesOf(owner);
    const lines = (chainRules: string[], present: string[]): string[] => {
      const jumps = own.map(({ ip }) => rules.jump(ip)).filter((jump) => !present.includes(jump));
      return [
        ...chainRules.map((rule) => `-A ${rules.chain} ${rule}`),
        ...jumps.map((jump) => `-A POSTROUTING ${jump}`),
      ];
    };
    // -N fails where the chain exists: that of another interface, or a left-over
    const tools = getTools(family);
    if (tryRestore(tools, [`-N ${rules.chain}`, ...lines(chainContent(rules, own, []), [])]) === "") continue;
    changeTable(tools, (nat) => [
      ...replaceChain(rules.chain, []),
      ...lines(chainContent(rules, own, nat.get(rules.chain) ?? []), nat.get("POSTROUTING") ?? []),
    ]);
  }
}

/** All subnets are accepted before the rest is masqueraded; what the chain has for other addresses stays. */
function chainContent(rules: Rules, own: readonly Prefix[], present: readonly string[]): string[] {
  const family = own[0]!.ip.family;
  const accepts = [
    ...present.filter((rule) => rule.endsWith("-j ACCEPT")),
    ...own.map((address) => rules.accept(address)),
  ];
  const notes = [...present.filter(isNote), ...own.map(({ ip }) => rules.note(ip))];
  return unique([...accepts, rules.masquerade(family), ...notes]);
}

const isNote = (rule: string): boolean =>
  rule.startsWith("-s ") && rule.includes("--comment") && !rule.includes(" -j ");
const subnetOf = (rule: string, side: "s" | "d"): Prefix | undefined =>
  parsePrefix(new RegExp(`^-${side} (\\S+)`).exec(rule)?.[1] ?? "");

/** The addresses of those notes of a chain. */
const notedFor = (chain: readonly string[], isWanted: (note: string) => boolean): Ip[] =>
  chain.filter((rule) => isNote(rule) && isWanted(rule)).flatMap((note) => subnetOf(note, "s")?.ip ?? []);

/** What CHECK finds wrong, in words. */
export function checkIptablesMasquerade(owner: Owner, addresses: readonly Prefix[], view?: HostView): string[] {
  const rules = rulesOf(owner);
  return families.flatMap((family) => {
    const own = ofFamily(addresses, family);
    if (own.length === 0) return [];
    const nat = seenTable(getTools(family), view);
    nat.load([rules.chain, "POSTROUTING"]);
    const chain = nat.get(rules.chain);
    if (!chain) return [`iptables chain ${rules.chain} is missing in table nat (IPv${family})`];
    const wanted = [...own.map((address) => rules.accept(address)), rules.masquerade(family)];
    const order = wanted.map((rule) => chain.indexOf(rule));
    const missing = wanted
      .filter((_, index) => order[index]! < 0)
      .map((rule) => `iptables chain ${rules.chain} lacks the rule ${rule}`);
    const late =
      missing.length === 0 && Math.max(...order) !== order.at(-1)
        ? [`iptables chain ${rules.chain} masquerades before it accepts every subnet`]
        : [];
    const jumps = own
      .filter(({ ip }) => !nat.get("POSTROUTING")?.includes(rules.jump(ip)))
      .map(({ ip }) => `iptables chain POSTROUTING lacks the jump for ${formatIp(ip)}`);
    return [...missing, ...late, ...jumps];
  });
}

/**
 * Takes away the jumps of these addresses, or of those the chain notes for the interface, and the chain when nothing
 * leads to it any more. The reference notes none: of a container that `isGone` its whole chain goes.
 */
export function removeIptablesMasquerade(owner: Owner, addresses: readonly Ip[], isGone = false): void {
  for (const family of families) removeFamily(owner, family, addresses, isGone);
}

function removeFamily(owner: Owner, family: Family, addresses: readonly Ip[], isGone = false): void {
  const rules = rulesOf(owner);
  for (const tools of filledTools(family, hasChain(rules.chain))) {
    changeTable(tools, (nat) => {
      nat.load([rules.chain, "POSTROUTING"]);
      const chain = nat.get(rules.chain);
      if (!chain) return [];
      const noted = notedFor(chain, (note) => note.endsWith(noteOf(owner)));
      const isWhole = isGone && !chain.some(isNote);
      return withoutAddresses(
        nat,
        rules.chain,
        (ip) => isWhole || [...addresses, ...noted].some((own) => sameIp(own, ip)),
      );
    });
  }
}

/** Lines that delete the jumps of addresses that are going, and cut the chain to what the others need. */
function withoutAddresses(nat: ChainRules, chain: string, isGoing: (ip: Ip) => boolean): string[] {
  const jumps = (nat.get("POSTROUTING") ?? []).filter((rule) => rule.endsWith(`-j ${chain}`));
  const isOfGoing = (rule: string): boolean => {
    const source = subnetOf(rule, "s");
    return source !== undefined && isGoing(source.ip);
  };
  const going = jumps.filter(isOfGoing);
  const staying = jumps.filter((rule) => !isOfGoing(rule));
  const deletions = going.map((rule) => `-D POSTROUTING ${rule}`);
  if (staying.length === 0) return [...deletions, ...dropChain(chain)];
  if (going.length === 0) return [];
  const isNeeded = (rule: string): boolean => {
    const subnet = rule.endsWith("-j ACCEPT") ? subnetOf(rule, "d") : undefined;
    return subnet
      ? staying.some((jump) => contains(subnet, subnetOf(jump, "s")?.ip ?? subnet.ip))
      : !isNote(rule) || !isOfGoing(rule);
  };
  return [...deletions, ...replaceChain(chain, nat.get(chain)!.filter(isNeeded))];
}

/**
 * GC: deletes what the chains of the network's containers have for attachments that are not valid; the old iptables is
 * read where it is asked for.
 */
export function collectIptablesMasquerade({ network, staying }: Selection, isAsked: boolean): void {
  const isOurs = areOfNetwork("", network);
  for (const tools of families.flatMap((family) => filledTools(family, leadsToContainers, isAsked))) {
    changeTable(tools, (nat) => {
      const all = nat.all();
      const owners = staying().map(({ containerId, ifname }) => ({ network, containerId, ifname }));
      return all
        .filter(([chain, rules]) => CONTAINER_CHAIN.test(chain) && isOurs(rules))
        .flatMap(([chain, rules]) => {
          const kept = owners.filter((owner) => iptablesChain(owner) === chain).map(noteOf);
          const lost = notedFor(rules, (note) => !kept.some((words) => note.endsWith(words)));
          return withoutAddresses(nat, chain, (ip) => kept.length === 0 || lost.some((other) => sameIp(other, ip)));
        });
    });
  }
}

const CONTAINER_CHAIN = /^CNI-[0-9a-f]{24}$/;

/** Of what all have in POSTROUTING something leads to a container's chain. */
const leadsToContainers: Look = (nft, table) =>
  nft.rules(table, "POSTROUTING").some(({ expressions }) => /CNI-[0-9a-f]{24}\0/.test(decodeUtf8(expressions)));

import { Nftables } from "../../kernel/nftables/nftables.ts";
import { encodeUtf8, indexOfBytes } from "../../net/bytes.ts";
import {
  families,
  type Family,
  formatPrefix,
  hostPrefix,
  type Ip,
  parsePrefix,
  sameIp,
  uniqueIps,
} from "../../net/ip.ts";
import type { Rule } from "../../netlink/nftables/decode.ts";
import type { FilterPart, Owner } from "../attachment.ts";
import type { HostView } from "../host-view.ts";
import type { Selection } from "../kind.ts";
import { networkLabel, ownerLabel, withoutNetwork } from "../owner.ts";
import type { Undo } from "../undo.ts";
import type { ChainRules } from "./chain-rules.ts";
import { ACCEPT_MARK } from "./filter.ts";
import {
  assertIptables,
  changeTable,
  commentMatch,
  filledTools,
  findTools,
  getTools,
  type Look,
  nftTable,
  seenTable,
  type Tools,
} from "./iptables.ts";

// The reference's own chains and rules in table filter, spelled as iptables-save prints them, so that either program
// finds the other's; and one rule that is podwire's, which accepts what table inet podwire has marked.

const FORWARD_CHAIN = "CNI-FORWARD";
const STAGE_1 = "CNI-ISOLATION-STAGE-1";
const STAGE_2 = "CNI-ISOLATION-STAGE-2";
const PLUGIN_RULES = "CNI firewall plugin rules";
const ADMIN_RULES = "CNI firewall plugin admin overrides";
const MARKED = "podwire: pods of nft table inet podwire";
const OWNER = "podwire: ";
/** XT_MAX_COMMENT_LEN is 256, with its zero. */
const LABEL_BYTES = 200;

const jump = `${commentMatch(PLUGIN_RULES)} -j ${FORWARD_CHAIN}`;
const toAdmin = (chain: string): string => `${commentMatch(ADMIN_RULES)} -j ${chain}`;
const mark = `0x${ACCEPT_MARK.toString(16)}`;
const acceptMarked = `-m mark --mark ${mark}/${mark} ${commentMatch(MARKED)} -j ACCEPT`;

const newChain = (filter: ChainRules, name: string): string[] => (filter.has(name) ? [] : [`-N ${name}`]);
const ensured = (filter: ChainRules, chain: string, rule: string, command: "-A" | "-I" = "-A"): string[] =>
  filter.get(chain)?.includes(rule) ? [] : [`${command} ${chain} ${rule}`];

/** The chains a part is about, read at once. */
const looksAt = ({ adminChain, policy }: Pick<FilterPart, "adminChain" | "policy">): string[] => [
  "FORWARD",
  FORWARD_CHAIN,
  adminChain,
  ...(policy === "open" ? [] : [STAGE_1, STAGE_2]),
];

/** The chains all pods share, as far as they are missing: what the administrator says comes first in them. */
const frame = (filter: ChainRules, admin: string): string[] => [
  ...newChain(filter, admin),
  ...newChain(filter, FORWARD_CHAIN),
  ...ensured(filter, FORWARD_CHAIN, toAdmin(admin), "-I"),
  ...ensured(filter, "FORWARD", jump, "-I"),
];

/** What is missing of them, and of the one rule for all pods. */
function missingForMark(filter: ChainRules, admin: string): string[] {
  filter.load(looksAt({ adminChain: admin, policy: "open" }));
  return [...frame(filter, admin), ...ensured(filter, FORWARD_CHAIN, acceptMarked)];
}

/**
 * Lets what nftables marks pass iptables, whose FORWARD chain may drop what nobody accepts there, today or some day. A
 * node without the tools has no such chain.
 */
export function ensureMarkAccepted(family: Family, admin: string): void {
  if (isMarkAccepted(family, admin)) return;
  const tools = findTools(family, "filter");
  if (tools) changeTable(tools, (filter) => missingForMark(filter, admin));
}

/** Read from the kernel, where today's iptables keeps its rules: most ADDs find all there, and start no program. */
function isMarkAccepted(family: Family, admin: string): boolean {
  const table = nftTable(family, "filter");
  return Nftables.use((nft) => {
    const forwarded = nft.rules(table, "FORWARD");
    if (!forwarded.some((rule) => isRule(rule, PLUGIN_RULES, FORWARD_CHAIN))) return false;
    const own = nft.rules(table, FORWARD_CHAIN);
    return own.some((rule) => isRule(rule, ADMIN_RULES, admin)) && own.some((rule) => isRule(rule, MARKED));
  });
}

/** By its comment, which newer tools keep beside the rule, and older ones in it; and by where it leads. */
const isRule = ({ comment, expressions }: Rule, words: string, chain?: string): boolean => {
  const mentions = (text: string): boolean => indexOfBytes(expressions, encodeUtf8(`${text}\0`)) >= 0;
  return (comment === words || mentions(words)) && (chain === undefined || mentions(chain));
};

/** What CHECK finds missing of it, in words. */
export const compareMarkAccepted = (family: Family, admin: string, view?: HostView): string[] => {
  if (isMarkAccepted(family, admin)) return [];
  const tools = findTools(family, "filter");
  return tools ? lacking(family, missingForMark(seenTable(tools, view), admin)) : [];
};

const lacking = (family: Family, lines: readonly string[]): string[] =>
  lines.map((line) => `iptables table filter (IPv${family}): lacks ${line.replace(/^-\w /, "")}`);

const ownerComment = (owner: Owner): string => OWNER + ownerLabel(owner, LABEL_BYTES);

const networkWords = (network: string): string => `${OWNER}${networkLabel(network, LABEL_BYTES)} `;

const answers = (ip: Ip): string =>
  `-d ${formatPrefix(hostPrefix(ip))} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`;
const sends = (ip: Ip): string => `-s ${formatPrefix(hostPrefix(ip))} -j ACCEPT`;
/** The reference has no such rule: what a port mapping leads to the pod is accepted as well. It says whose all are. */
const mapped = (ip: Ip, comment: string): string =>
  `-d ${formatPrefix(hostPrefix(ip))} -m conntrack --ctstate DNAT ${commentMatch(comment)} -j ACCEPT`;

const ofFamily = (addresses: readonly Ip[], family: Family): Ip[] => addresses.filter((ip) => ip.family === family);

/** The iptables backend: everything by iptables, as the reference does it. */
export function applyIptablesFilter(owner: Owner, part: FilterPart, undo: Undo): void {
  const used = usedFamilies(part);
  assertIptables(used, undefined, "filter");
  for (const family of used) {
    const tools = getTools(family, "filter");
    undo.push("remove iptables rules", () => removeFrom(tools, owner, part.addresses, false));
    changeTable(tools, (filter) => {
      const lines = missing(filter, owner, family, part);
      return [...outlived(filter, owner, part.addresses), ...lines];
    });
  }
}

/**
 * Rules that name an earlier attachment of the network for these addresses: the reference leaves them where it deletes
 * a pod of podwire's. DEL would take their word for it that the address is still somebody's.
 */
function outlived(filter: ChainRules, owner: Owner, addresses: readonly Ip[]): string[] {
  return labelledRules(filter)
    .filter(({ comment }) => comment.startsWith(networkWords(owner.network)) && comment !== ownerComment(owner))
    .filter(({ ip }) => addresses.some((address) => sameIp(address, ip)))
    .map(({ rule }) => `-D ${FORWARD_CHAIN} ${rule}`);
}

const usedFamilies = ({ addresses }: FilterPart): Family[] =>
  families.filter((family) => ofFamily(addresses, family).length > 0);

function missing(filter: ChainRules, owner: Owner, family: Family, part: FilterPart): string[] {
  filter.load(looksAt(part));
  return [
    ...frame(filter, part.adminChain),
    ...ofFamily(part.addresses, family)
      .flatMap((ip) => [answers(ip), sends(ip), mapped(ip, ownerComment(owner))])
      .flatMap((rule) => ensured(filter, FORWARD_CHAIN, rule)),
    ...isolation(filter, part),
  ];
}

/** Policies of bridges stay, as in the reference: other pods may be on the same bridge. */
function isolation(filter: ChainRules, { policy, bridge }: FilterPart): string[] {
  if (policy === "open" || bridge === undefined) return [];
  const both = commentMatch(`${PLUGIN_RULES} (ingressPolicy: same-bridge|isolated)`);
  const own = commentMatch(`${PLUGIN_RULES} (ingressPolicy: ${policy})`);
  return [
    ...newChain(filter, STAGE_1),
    ...newChain(filter, STAGE_2),
    ...ensured(filter, "FORWARD", `${both} -j ${STAGE_1}`, "-I"),
    ...ensured(filter, STAGE_1, `-i ${bridge} ! -o ${bridge} ${own} -j ${STAGE_2}`, "-I"),
    ...(policy === "isolated" ? ensured(filter, STAGE_1, `-i ${bridge} -o ${bridge} ${own} -j DROP`, "-I") : []),
    ...ensured(filter, STAGE_1, `${both} -j RETURN`),
    ...ensured(filter, STAGE_2, `-o ${bridge} ${both} -j DROP`, "-I"),
    ...ensured(filter, STAGE_2, `${both} -j RETURN`),
  ];
}

/** What CHECK finds wrong, in words. */
export const compareIptablesFilter = (owner: Owner, part: FilterPart, view?: HostView): string[] =>
  usedFamilies(part).flatMap((family) =>
    lacking(family, missing(seenTable(getTools(family, "filter"), view), owner, family, part)),
  );

/** True where the reference has all its rules for these addresses, and for the policy. */
export const hasReferenceFilter = (owner: Owner, part: FilterPart, view?: HostView): boolean =>
  part.addresses.length > 0 &&
  usedFamilies(part).every((family) => {
    const tools = findTools(family, "filter");
    if (!tools) return false;
    return missing(seenTable(tools, view), owner, family, part).every((line) => line.includes(" --ctstate DNAT "));
  });

/**
 * Takes away the rules of the owner, and those of these addresses that nobody else is named for; where the pod is gone
 * and has none, those with another name of its network.
 */
export function removeIptablesFilter(owner: Owner, addresses: readonly Ip[], isGone = false): void {
  for (const tools of toolsWithRules()) removeFrom(tools, owner, addresses, isGone);
}

function removeFrom(tools: Tools, owner: Owner, addresses: readonly Ip[], isGone: boolean): void {
  const own = ownerComment(owner);
  const wordsOf = (comment: string): string => withoutNetwork(comment.slice(OWNER.length));
  changeTable(tools, (filter) => {
    const isMine = (comment: string): boolean => comment === own;
    const isLeft = isGone && !labelledRules(filter).some(({ comment }) => isMine(comment));
    const isGoing = isLeft ? (comment: string): boolean => wordsOf(comment) === wordsOf(own) : isMine;
    return removal(filter, isGoing, ofFamily(addresses, tools.family));
  });
}

/** Where there is more than the rules for all pods: else nothing has to be read by a program. */
const toolsWithRules = (old = true): Tools[] =>
  families.flatMap((family) => filledTools(family, hasPodRules, old, "filter"));
const hasPodRules: Look = (nft, table) =>
  nft.rules(table, FORWARD_CHAIN).some((rule) => !isRule(rule, ADMIN_RULES) && !isRule(rule, MARKED));

function removal(filter: ChainRules, isMine: (comment: string) => boolean, known: readonly Ip[]): string[] {
  const rules = filter.get(FORWARD_CHAIN) ?? [];
  const labelled = labelledRules(filter);
  const mine = labelled.filter(({ comment }) => isMine(comment));
  const others = labelled.filter(({ comment }) => !isMine(comment));
  const going = uniqueIps([...known, ...mine.map(({ ip }) => ip)]).filter(
    (ip) => !others.some((other) => sameIp(other.ip, ip)),
  );
  const lines = [...mine.map(({ rule }) => rule), ...going.flatMap((ip) => [answers(ip), sends(ip)])];
  return lines.filter((line) => rules.includes(line)).map((line) => `-D ${FORWARD_CHAIN} ${line}`);
}

const labelledRules = (filter: ChainRules) => (filter.get(FORWARD_CHAIN) ?? []).flatMap((rule) => labelOf(rule) ?? []);

/** Whose a rule of podwire's is, and for which address. */
function labelOf(rule: string): { rule: string; comment: string; ip: Ip } | undefined {
  const [, address, comment] =
    /^-d (\S+) -m conntrack --ctstate DNAT -m comment --comment "(podwire: .*)" -j ACCEPT$/.exec(rule) ?? [];
  const prefix = address === undefined ? undefined : parsePrefix(address);
  return prefix && { rule, comment: comment!.replaceAll(/\\(.)/g, "$1"), ip: prefix.ip };
}

/**
 * GC: takes away the rules of the network's attachments that are not valid; the old iptables is read where it is asked
 * for.
 */
export function collectIptablesFilter({ network, staying }: Selection, isAsked: boolean): void {
  const words = networkWords(network);
  for (const tools of toolsWithRules(isAsked)) {
    changeTable(tools, (filter) => {
      const kept = new Set(staying().map(({ containerId, ifname }) => ownerComment({ network, containerId, ifname })));
      return removal(filter, (comment) => comment.startsWith(words) && !kept.has(comment), []);
    });
  }
}

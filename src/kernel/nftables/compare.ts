import { concatBytes, includesAttributes, sameBytes } from "../../net/bytes.ts";
import { decodeList } from "../../netlink/codec.ts";
import type { Chain, Rule } from "../../netlink/nftables/decode.ts";
import type { Nftables } from "./nftables.ts";
import type { Hook, Table } from "../../netlink/nftables/object.ts";
import type { ChainSpec, ElementSpec, RuleSpec, Ruleset } from "../../netlink/nftables/ruleset.ts";

/** What the kernel has otherwise than the rulesets say, in words; empty when all is as it should be. */
export const compareRulesets = (nft: Nftables, rulesets: readonly Ruleset[]): string[] =>
  rulesets.flatMap((ruleset) => compareRuleset(nft, ruleset));

function compareRuleset(nft: Nftables, { table, chains, elements, shared = [] }: Ruleset): string[] {
  const found = new Map(nft.chains(table).map((chain) => [chain.name, chain]));
  const rules = nft.rules(table);
  return [
    ...chains.flatMap((chain) =>
      compareChain(
        table,
        chain,
        found.get(chain.name),
        rules.filter((rule) => rule.chain === chain.name),
      ),
    ),
    ...[...elements, ...shared].flatMap((element) => compareElement(nft, table, element)),
  ];
}

function compareChain(table: Table, wanted: ChainSpec, found: Chain | undefined, rules: Rule[]): string[] {
  const where = `nftables table ${table.name}, chain ${wanted.name}`;
  if (!found) return [`${where}: missing`];
  if (!sameHook(wanted.hook, found.hook)) return [`${where}: has another hook or priority`];
  const wantedRules = wanted.rules;
  let next = 0;
  const missing = wantedRules.filter((rule) => {
    const at = rules.findIndex((candidate, index) => index >= next && matches(rule, candidate));
    if (at >= 0) next = at + 1;
    return at < 0;
  });
  if (missing.length > 0) return missing.map(({ line }) => `${where}: rule "${line}" is missing or not in its place`);
  return !wanted.hook && rules.length !== wantedRules.length
    ? [`${where}: has ${rules.length} rules, not ${wantedRules.length}`]
    : [];
}

const sameHook = (a: Hook | undefined, b: Hook | undefined): boolean =>
  a === b ||
  (a !== undefined && b !== undefined && a.type === b.type && a.hook === b.hook && a.priority === b.priority);

function compareElement(nft: Nftables, table: Table, wanted: ElementSpec): string[] {
  const found = nft.findElement({ table, ...wanted });
  if (!found) return [`nftables table ${table.name}: ${wanted.what} is missing`];
  if (found.comment !== wanted.comment) {
    return [`nftables table ${table.name}: ${wanted.what} belongs to "${found.comment}"`];
  }
  const same =
    found.verdict?.code === wanted.verdict?.code &&
    found.verdict?.chain === wanted.verdict?.chain &&
    equal(found.data, wanted.data);
  return same ? [] : [`nftables table ${table.name}: ${wanted.what} leads elsewhere`];
}

const equal = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean => (a && b ? sameBytes(a, b) : a === b);

/**
 * True when the kernel's rule says all that ours says: it lists more attributes than were sent (operators, flags,
 * defaults).
 */
function matches({ expressions }: RuleSpec, { expressions: found }: Rule): boolean {
  const ours = decodeList(concatBytes(expressions));
  const theirs = decodeList(found);
  return ours.length === theirs.length && ours.every((expression, at) => includesAttributes(theirs[at]!, expression));
}

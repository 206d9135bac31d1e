import { decodeAttributes, decodeList } from "../netlink.ts";
import { type Chain, findVerdict, type Rule } from "./decode.ts";
import type { Verdict } from "./expression.ts";
import type { Nftables } from "./nftables.ts";
import type { Hook, Table } from "./object.ts";
import type { ChainSpec, ElementSpec, RuleSpec, Ruleset } from "./ruleset.ts";

const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;

/** What the kernel has otherwise than the rulesets say, in words; empty when all is as it should be. */
export const compareRulesets = (nft: Nftables, rulesets: readonly Ruleset[]): string[] => rulesets.flatMap((ruleset) => compareRuleset(nft, ruleset));

function compareRuleset(nft: Nftables, { table, chains, elements }: Ruleset): string[] {
  const found = new Map(nft.chains(table).map((chain) => [chain.name, chain]));
  const rules = nft.rules(table);
  return [
    ...chains.flatMap((chain) => compareChain(table, chain, found.get(chain.name), rules.filter((rule) => rule.chain === chain.name))),
    ...elements.flatMap((element) => compareElement(nft, table, element)),
  ];
}

function compareChain(table: Table, wanted: ChainSpec, found: Chain | undefined, rules: Rule[]): string[] {
  const where = `nftables table ${table.name}, chain ${wanted.name}`;
  if (!found) return [`${where}: missing`];
  if (!sameHook(wanted.hook, found.hook)) return [`${where}: has another hook or priority`];
  let next = 0;
  const missing = wanted.rules.filter((rule) => {
    const at = rules.findIndex((candidate, index) => index >= next && matches(rule, candidate));
    if (at >= 0) next = at + 1;
    return at < 0;
  });
  if (missing.length > 0) return missing.map(({ line }) => `${where}: rule "${line}" is missing or not in its place`);
  return !wanted.hook && rules.length !== wanted.rules.length ? [`${where}: has ${rules.length} rules, not ${wanted.rules.length}`] : [];
}

const sameHook = (a: Hook | undefined, b: Hook | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && a.type === b.type && a.hook === b.hook && a.priority === b.priority);

function compareElement(nft: Nftables, table: Table, wanted: ElementSpec): string[] {
  const found = nft.findElement({ table, ...wanted });
  if (!found) return [`nftables table ${table.name}: ${wanted.what} is missing`];
  if (found.comment !== wanted.comment) return [`nftables table ${table.name}: ${wanted.what} belongs to "${found.comment}"`];
  const same = found.verdict?.code === wanted.verdict?.code && found.verdict?.chain === wanted.verdict?.chain && equal(found.data, wanted.data);
  return same ? [] : [`nftables table ${table.name}: ${wanted.what} leads elsewhere`];
}

const equal = (a: Buffer | undefined, b: Buffer | undefined): boolean => (a && b ? a.equals(b) : a === b);

/** True when the kernel's rule says all that ours says: it lists more attributes than were sent (operators, flags, defaults). */
function matches({ expressions }: RuleSpec, { expressions: found }: Rule): boolean {
  const ours = decodeList(Buffer.concat(expressions));
  const theirs = decodeList(found);
  return ours.length === theirs.length && ours.every((expression, index) => sameExpression(expression, theirs[index]!));
}

function sameExpression(ours: Buffer, theirs: Buffer): boolean {
  const [wanted, found] = [decodeAttributes(ours), decodeAttributes(theirs)];
  const content = decodeAttributes(found.get(NFTA_EXPR_DATA) ?? Buffer.alloc(0));
  return (
    equal(wanted.get(NFTA_EXPR_NAME), found.get(NFTA_EXPR_NAME)) &&
    [...decodeAttributes(wanted.get(NFTA_EXPR_DATA) ?? Buffer.alloc(0))].every(([type, data]) => sameContent(data, content.get(type)))
  );
}

/** Verdicts are compared by what they say: the kernel does not flag their attributes as nested. */
const sameContent = (ours: Buffer, theirs: Buffer | undefined): boolean => equal(ours, theirs) || sameVerdict(findVerdict(ours), theirs && findVerdict(theirs));
const sameVerdict = (a: Verdict | undefined, b: Verdict | undefined): boolean => a !== undefined && a.code === b?.code && a.chain === b.chain;

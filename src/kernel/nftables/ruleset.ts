import { isErrno } from "../linux.ts";
import type { Message } from "../../netlink/message.ts";
import { addElement, createElement, deleteElement } from "../../netlink/nftables/element.ts";
import { addChain, addRule, addSet, addTable, flushChain } from "../../netlink/nftables/object.ts";
import type { Ruleset } from "../../netlink/nftables/ruleset.ts";
import type { Nftables } from "./nftables.ts";

export type { Ruleset };

/** An element that keeps coming back belongs to somebody who is wired at this very moment. */
const ATTEMPTS = 5;

/**
 * Makes it so, all rulesets in one transaction: usually one that holds the elements and nothing else; with what the
 * frame lacks when it lacks something (first use, a new subnet, `nft flush ruleset`). That is asked first, one request
 * a chain, because a transaction that fails costs the kernel 20 ms (it waits for every processor).
 */
export function applyRulesets(nft: Nftables, rulesets: readonly Ruleset[]): void {
  for (let attempt = 1; ; attempt++) {
    const stale = attempt === 1 ? [] : rulesets.flatMap((ruleset) => deletions(nft, ruleset));
    try {
      nft.commit([
        ...rulesets.flatMap((ruleset) => lackingFrame(nft, ruleset, attempt > 1)),
        ...stale,
        ...rulesets.flatMap(additions),
      ]);
      return;
    } catch (error) {
      // EEXIST: an element with our key is there; ENOENT: somebody flushed the ruleset or deleted that element just now
      if (attempt === ATTEMPTS || !isErrno(error, "ENOENT", "EEXIST")) throw error;
    }
  }
}

/**
 * Table, sets, and the chains that are missing or, flushed, have too few rules. Adding what exists is no error, and a
 * chain's rules are replaced. `isSure` where something is missing, which may be a set: those are not asked for.
 */
function lackingFrame(nft: Nftables, { table, comment, sets, chains, isMended }: Ruleset, isSure: boolean): Message[] {
  const lacking = chains.filter((chain) => {
    const use = nft.findChain(table, chain.name)?.use;
    return use === undefined || (chain.hook === undefined ? isMended : use < chain.rules.length);
  });
  if (lacking.length === 0 && !isSure) return [];
  return [
    addTable(table, comment),
    ...sets.map((set, index) => addSet(table, set, index + 1)),
    ...lacking.flatMap(({ name, hook, rules }) => [
      addChain(table, name, hook),
      flushChain(table, name),
      ...rules.map(({ expressions, line }) => addRule(table, name, expressions, line)),
    ]),
  ];
}

const additions = ({ table, elements, shared = [] }: Ruleset): Message[] => [
  ...elements.map((element) => createElement(table, element.set, element)),
  ...shared.map((element) => addElement(table, element.set, element)),
];

/** Takes away elements with our keys, such as a gone pod with our address left. */
const deletions = (nft: Nftables, { table, elements, replace }: Ruleset): Message[] =>
  elements.flatMap((element) => {
    const found = nft.findElement({ table, ...element });
    if (!found) return [];
    replace?.(found, element);
    return [deleteElement(table, element.set, element.key)];
  });

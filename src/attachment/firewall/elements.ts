import { CniError, Code } from "../../cni/error.ts";
import { compareRulesets } from "../../kernel/nftables/compare.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";
import { applyRulesets } from "../../kernel/nftables/ruleset.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import type { Table } from "../../netlink/nftables/object.ts";
import type { ElementSpec, Ruleset } from "../../netlink/nftables/ruleset.ts";
import type { Owner } from "../attachment.ts";
import type { Rule, Selection } from "../kind.ts";
import { describeOwner, networkLabel, ownerLabel, ownerOfLabel, withoutNetwork } from "../owner.ts";
import type { Undo } from "../undo.ts";
import { explained, whereUsable } from "./explained.ts";
import { COMMENT_BYTES, startsWithWords } from "./label.ts";

// Elements of nftables' sets and maps that carry their owner as a comment: how they are written, compared and told
// apart.

/** The owner's own elements; `bytes` is how many the label has at most. */
export const isOwnedBy = (owner: Owner, bytes = COMMENT_BYTES): ((found: FoundElement) => boolean) => {
  const label = ownerLabel(owner, bytes);
  return ({ comment }) => startsWithWords(comment, label);
};

/** Elements of the attachment a label names, whatever its network was called when they were made. */
export function isOfAttachment(label: string): (found: FoundElement) => boolean {
  const words = withoutNetwork(label);
  return ({ comment }) => startsWithWords(withoutNetwork(comment), words);
}

/** Elements of attachments of the network that are not valid. */
export function isLost(
  { network, valid, isWired }: Selection,
  bytes = COMMENT_BYTES,
): (found: FoundElement) => boolean {
  const words = networkLabel(network, bytes);
  const kept = valid.map((attachment) => isOwnedBy({ network, ...attachment }, bytes));
  const isMadeSince = ({ comment }: FoundElement): boolean => {
    const owner = ownerOfLabel(comment.split(" ", 3).join(" "));
    return owner !== undefined && isWired(owner);
  };
  return (found) =>
    startsWithWords(found.comment, words) && !kept.some((isKept) => isKept(found)) && !isMadeSince(found);
}

/** Makes what the rulesets say, in one transaction; their elements are taken back by `undo`. */
export function writeElements(owner: Owner, rulesets: readonly Ruleset[], undo: Undo): void {
  const refs = rulesets.flatMap(({ table, elements }) => elements.map((element) => ({ table, ...element })));
  // registered before: when the kernel's answer is lost (ENOBUFS), the rules may be there all the same
  undo.push("remove nftables elements", () => Nftables.use((nft) => nft.deleteElements(refs, isOwnedBy(owner))));
  explained(`write the nftables rules of ${ownerLabel(owner, COMMENT_BYTES)}`, () =>
    Nftables.use((nft) => applyRulesets(nft, rulesets)),
  );
}

/**
 * `replace` of a ruleset: throws, naming the holder, unless the element is the owner's own or that of a pod that is
 * gone. `matter` says what the holder has of an address.
 */
export const takeAbandoned =
  (owner: Owner, matter: string, isGone: (found: FoundElement) => boolean) =>
  (found: FoundElement, { what }: ElementSpec): void => {
    if (isOwnedBy(owner)(found) || isGone(found)) return;
    const holder = ownerOfLabel(found.comment);
    throw new CniError(
      Code.TryAgainLater,
      `${what.replace(/ in (map|set) .*/, "")} is ${matter} for another attachment: ` +
        (holder ? describeOwner(holder) : JSON.stringify(found.comment)),
    );
  };

/** What the kernel lacks of the rulesets, in words. */
export const compareElements = (rulesets: readonly Ruleset[]): string[] =>
  explained("read nftables", () => Nftables.use((nft) => compareRulesets(nft, rulesets)));

/** The elements of a set as rules of their owners, each in the words `describe` has for its key. */
export const listElements = (table: Table, set: string, describe: (key: Uint8Array) => string): Rule[] =>
  whereUsable("list nftables elements", (nft) =>
    nft.elements(table, set).map(({ comment, key }) => ({ comment, what: describe(key) })),
  ) ?? [];

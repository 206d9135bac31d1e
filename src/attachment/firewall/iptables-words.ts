import type { Owner } from "../attachment.ts";
import { networkLabel, ownerLabel, withoutNetwork } from "../owner.ts";
import { commentMatch } from "./iptables.ts";

// Whose rules in table nat are. The reference's comments name network and container, and iptables cuts them; where that
// happens podwire's note, in a rule that decides nothing, names the owner as well.

/** XT_MAX_COMMENT_LEN is 256, with its zero. */
const COMMENT_BYTES = 255;
const LABEL_BYTES = 150;

/** The comment of a container's rules; `kind` is what it begins with. */
export const containerWords = (kind: Kind, { network, containerId }: Pick<Owner, "network" | "containerId">): string =>
  `${kind}name: "${network}" id: "${containerId}"`;
type Kind = "" | "dnat ";

/** The owner as a note names it. */
const label = (owner: Owner): string => ownerLabel(owner, LABEL_BYTES);

/** What stands behind the other words of a note: "" where the comment says it all. */
export const ownerNote = (kind: Kind, owner: Owner): string =>
  containerWords(kind, owner).length <= COMMENT_BYTES ? "" : ` owner: "${label(owner)}"`;

/** True for the owner a note names, whatever its network was called then. */
export const isNoted = (noted: string, owner: Owner): boolean => withoutNetwork(noted) === withoutNetwork(label(owner));

/** Whether rules, of a chain with those that lead to it, are an attachment's of the network. */
export function areOfNetwork(kind: Kind, network: string): (rules: readonly string[]) => boolean {
  const words = `${kind}name: "${network}" id: `;
  const beginning = commentMatch(words).slice(0, -1);
  const note = ` owner: \\"${networkLabel(network, LABEL_BYTES)} `;
  return (rules) =>
    rules.some((rule) => rule.includes(beginning)) &&
    (words.length <= COMMENT_BYTES || rules.some((rule) => rule.includes(note)));
}

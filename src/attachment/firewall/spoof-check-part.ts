import type { SpoofCheckPart } from "../attachment.ts";
import type { Kind } from "../kind.ts";
import { hostVethName } from "../owner.ts";
import { rewriting } from "../step.ts";
import { assertBackend, statusOfBackend } from "./backend.ts";
import { compareElements, isLost, isOwnedBy, listElements, writeElements } from "./elements.ts";
import { whereUsable } from "./explained.ts";
import { removeReferenceSpoofCheck } from "./reference.ts";
import { BRIDGE_FRAME, guardedElement, spoofCheckRuleset, spoofCheckSets } from "./spoof-check.ts";

/** Frames of a pod pass the bridge from its own MAC only. */
export const spoofCheck: Kind<SpoofCheckPart> = {
  assertTools: () => assertBackend({ backend: "nftables", addresses: [] }),

  apply: ({ mac }, { owner, hostLink }, { undo }) =>
    writeElements(owner, [spoofCheckRuleset(owner, hostLink!, mac)], undo),

  compare: ({ mac }, { owner, hostLink }, foreign) =>
    foreign ? [] : compareElements([spoofCheckRuleset(owner, hostLink!, mac)]),

  mend: ({ mac }, { owner, hostLink }, { differences, undo }) =>
    rewriting(differences, {
      what: `let ${hostLink} send from ${mac} only`,
      run: () => writeElements(owner, [{ ...spoofCheckRuleset(owner, hostLink!, mac), isMended: true }], undo),
    }),

  remove({ owner }, part) {
    const isMine = isOwnedBy(owner);
    whereUsable("remove nftables elements", (nft) => {
      const guarded = nft.findElement(guardedElement(hostVethName(owner)));
      // of two ADDs at once the one that failed may have taken the element of both, and left what the other allowed
      if (part || (guarded && isMine(guarded))) nft.deleteFromSets(spoofCheckSets, isMine);
    });
    return "unknown";
  },

  removeReference: ({ owner }) => removeReferenceSpoofCheck(owner),

  collect: (selection) =>
    void whereUsable("remove nftables elements", (nft) => nft.deleteFromSets(spoofCheckSets, isLost(selection))),

  list: () => spoofCheckSets.flatMap(({ table, set }) => listElements(table, set, () => `a link in set ${set}`)),

  status: () => statusOfBackend("nftables", BRIDGE_FRAME),
};

import type { MasqueradePart } from "../attachment.ts";
import type { Kind } from "../kind.ts";
import { assertBackend, statusOfBackend } from "./backend.ts";
import { compareElements, isLost, isOwnedBy, writeElements } from "./elements.ts";
import { dropUnusedChains, whereUsable } from "./explained.ts";
import { masqueradeChainPrefix, masqueradeElements, masqueradeRuleset, masqueradeSets } from "./masquerade.ts";
import {
  applyIptablesMasquerade,
  checkIptablesMasquerade,
  collectIptablesMasquerade,
  removeIptablesMasquerade,
} from "./masquerade-iptables.ts";
import { removeReferenceMasquerade } from "./reference.ts";

/** Masquerading of what a pod sends beyond its subnet: elements of one map, or the reference's own iptables rules. */
export const masquerade: Kind<MasqueradePart> = {
  assertTools: assertBackend,

  apply({ backend, addresses }, { owner }, { undo }) {
    if (addresses.length === 0) return;
    if (backend === "iptables") applyIptablesMasquerade(owner, addresses, undo);
    else writeElements(owner, masqueradeRuleset(owner, addresses), undo);
  },

  compare({ backend, addresses }, { owner }, foreign) {
    if (foreign || addresses.length === 0) return [];
    return backend === "iptables"
      ? checkIptablesMasquerade(owner, addresses)
      : compareElements(masqueradeRuleset(owner, addresses));
  },

  // Best removed before the veth: what the kernel defers then passes in the same time.
  remove({ owner, addresses }, part) {
    const isMine = isOwnedBy(owner);
    whereUsable("remove nftables elements", (nft) => {
      nft.deleteElements(masqueradeElements(addresses), isMine);
      if (addresses.length === 0) nft.deleteFromSets(masqueradeSets, isMine);
    });
    if (part?.backend === "iptables") removeIptablesMasquerade(owner, addresses);
    return "unknown";
  },

  removeReference: ({ owner, addresses }) => removeReferenceMasquerade(owner, addresses),

  collect(selection, part) {
    whereUsable("remove nftables elements", (nft) => {
      nft.deleteFromSets(masqueradeSets, isLost(selection));
      dropUnusedChains(nft, masqueradeChainPrefix(selection.network));
    });
    if (part?.backend === "iptables") collectIptablesMasquerade(selection.network, selection.valid);
  },

  status: ({ backend }) => statusOfBackend(backend),
};

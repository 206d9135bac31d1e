import { formatIp, ipFromBytes } from "../../net/ip.ts";
import type { MasqueradePart } from "../attachment.ts";
import type { Kind, Rule } from "../kind.ts";
import { findLink } from "../link/links.ts";
import { hostVethName, ownerOfLabel } from "../owner.ts";
import { assertBackend, statusOfBackend } from "./backend.ts";
import { compareElements, isLost, isOwnedBy, listElements, takeAbandoned, writeElements } from "./elements.ts";
import { dropUnusedChains, whereUsable } from "./explained.ts";
import {
  INET_FRAME,
  masqueradeChainPrefix,
  masqueradeElements,
  masqueradeRuleset,
  masqueradeSets,
} from "./masquerade.ts";
import {
  applyIptablesMasquerade,
  checkIptablesMasquerade,
  collectIptablesMasquerade,
  removeIptablesMasquerade,
} from "./masquerade-iptables.ts";
import { removeReferenceMasquerade } from "./reference.ts";
import type { Site } from "../site.ts";
import { rewriting } from "../step.ts";
import type { Undo } from "../undo.ts";

/** Masquerading of what a pod sends beyond its subnet: elements of one map, or the reference's own iptables rules. */
export const masquerade: Kind<MasqueradePart> = {
  assertTools: assertBackend,

  apply: (part, site, { undo }) => write(part, site, undo, false),

  mend: (part, site, { differences, undo }) =>
    rewriting(differences, {
      what: `write the masquerading of ${part.addresses.map(({ ip }) => formatIp(ip)).join(", ")}`,
      run: () => write(part, site, undo, true),
    }),

  compare({ backend, addresses }, { owner, view }, foreign) {
    if (foreign || addresses.length === 0) return [];
    return backend === "iptables"
      ? checkIptablesMasquerade(owner, addresses, view)
      : compareElements([masqueradeRuleset(owner, addresses)]);
  },

  // Best removed before the veth: what the kernel defers then passes in the same time.
  remove({ owner, addresses, usesIptables }, part) {
    const isMine = isOwnedBy(owner);
    whereUsable("remove nftables elements", (nft) => {
      nft.deleteElements(masqueradeElements(addresses), isMine);
      if (addresses.length === 0) nft.deleteFromSets(masqueradeSets, isMine);
    });
    if (usesIptables || part?.backend === "iptables") removeIptablesMasquerade(owner, addresses);
    return "unknown";
  },

  removeReference: ({ owner, addresses, isGone }) => removeReferenceMasquerade(owner, addresses, isGone),

  collect(selection, part) {
    whereUsable("remove nftables elements", (nft) => {
      nft.deleteFromSets(masqueradeSets, isLost(selection));
      dropUnusedChains(nft, masqueradeChainPrefix(selection.network));
    });
    collectIptablesMasquerade(selection, part?.backend === "iptables");
  },

  list: () =>
    masqueradeSets.flatMap(({ table, set }) =>
      listElements(table, set, (key) => `${formatIp(ipFromBytes(key))} in map ${set}`).map(ofOwnLink),
    ),

  status: ({ backend }) => statusOfBackend(backend, INET_FRAME),
};

function write({ backend, addresses }: MasqueradePart, { owner, host }: Site, undo: Undo, isMended: boolean): void {
  if (addresses.length === 0) return;
  if (backend === "iptables") return applyIptablesMasquerade(owner, addresses, undo);
  const replace = takeAbandoned(owner, "masqueraded", ({ comment }) => {
    const holder = ownerOfLabel(comment); // a pod that is masqueraded has a link of podwire's own
    return holder !== undefined && !findLink(host, hostVethName(holder));
  });
  writeElements(owner, [{ ...masqueradeRuleset(owner, addresses), isMended, replace }], undo);
}

/** Only podwire's own links have pods that are masqueraded. */
function ofOwnLink(rule: Rule): Rule {
  const owner = ownerOfLabel(rule.comment);
  return owner ? { ...rule, link: hostVethName(owner) } : rule;
}

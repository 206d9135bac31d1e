import { Nftables } from "../../kernel/nftables/nftables.ts";
import { encodeUtf8 } from "../../net/bytes.ts";
import { familiesOf, formatIp, type Ip, ipFromBytes } from "../../net/ip.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import type { Ruleset } from "../../netlink/nftables/ruleset.ts";
import type { FilterPart } from "../attachment.ts";
import type { Kind } from "../kind.ts";
import { networkLabel, ownerLabel, withoutNetwork } from "../owner.ts";
import type { Site } from "../site.ts";
import { rewriting } from "../step.ts";
import type { Undo } from "../undo.ts";
import { assertBackend, statusOfBackend } from "./backend.ts";
import {
  compareElements,
  isLost,
  isOfAttachment,
  isOwnedBy,
  listElements,
  takeAbandoned,
  writeElements,
} from "./elements.ts";
import { whereUsable } from "./explained.ts";
import {
  acceptedElements,
  acceptedSets,
  FILTER_FRAME,
  filterRuleset,
  isolationRuleset,
  openBridges,
  policySets,
} from "./filter.ts";
import {
  applyIptablesFilter,
  collectIptablesFilter,
  compareIptablesFilter,
  compareMarkAccepted,
  ensureMarkAccepted,
  hasReferenceFilter,
  removeIptablesFilter,
} from "./filter-iptables.ts";
import {
  addSource,
  assertFirewalld,
  compareSource,
  hasFirewalld,
  removeSource,
  statusOfFirewalld,
} from "./firewalld.ts";
import { assertIptables } from "./iptables.ts";
import { COMMENT_BYTES } from "./label.ts";
import { isGone, noteWhere } from "./whereabouts.ts";
import { Code } from "../../cni/error.ts";

/** What the host's firewall lets pass for a pod, and what its bridge is closed to. */
export const filter: Kind<FilterPart> = {
  assertTools(part) {
    if (part.backend === "iptables") return assertIptables([4], Code.Internal, "filter");
    assertBackend({ backend: "nftables", addresses: [] });
    if (part.backend === "firewalld") assertFirewalld();
  },

  apply: (part, site, { undo }) => write(part, site, undo, false),

  mend: (part, site, { differences, undo }) =>
    rewriting(differences, {
      what: `let pass what is forwarded for ${part.addresses.map(formatIp).join(", ")}`,
      run: () => write(part, site, undo, true),
    }),

  compare(part, site) {
    const differences =
      part.backend === "iptables"
        ? compareIptablesFilter(site.owner, part, site.view)
        : [
            ...compareElements(rulesetsOf(part, site)),
            ...familiesOf(part.addresses).flatMap((family) => compareMarkAccepted(family, part.adminChain, site.view)),
            ...(usesFirewalld(part) ? part.addresses.flatMap((ip) => compareSource(part.zone, ip)) : []),
          ];
    return differences.length > 0 && hasReferenceFilter(site.owner, part, site.view) ? [] : differences;
  },

  remove(traces, part) {
    const { owner, addresses } = traces;
    const label = ownerLabel(owner, COMMENT_BYTES);
    const found =
      removeElements({ words: label, isMine: isOwnedBy(owner), addresses }, part) ||
      (traces.isGone === true && removeElements(leftBy(label), part));
    if (part?.backend === "iptables") removeIptablesFilter(owner, addresses, traces.isGone);
    return found ? "own" : "unknown";
  },

  removeReference({ owner, addresses }, part) {
    removeIptablesFilter(owner, addresses);
    if (part && usesFirewalld(part)) for (const ip of addresses) removeSource(part.zone, ip);
  },

  collect(selection, part) {
    const { network } = selection;
    removeElements({ words: networkLabel(network, COMMENT_BYTES), isMine: isLost(selection), addresses: [] }, part);
    collectIptablesFilter(selection, part?.backend === "iptables");
  },

  list: () =>
    acceptedSets.flatMap(({ table, set }) =>
      listElements(table, set, (key) => `${formatIp(ipFromBytes(key))} in set ${set}`),
    ),

  status({ backend, zone }) {
    if (backend === "iptables") return assertIptables([4], Code.NotAvailable, "filter");
    statusOfBackend("nftables", FILTER_FRAME);
    if (backend === "firewalld") statusOfFirewalld(zone);
  },
};

function write(part: FilterPart, site: Site, undo: Undo, isMended: boolean): void {
  const { owner } = site;
  if (part.backend === "iptables") return applyIptablesFilter(owner, part, undo);
  const replace = takeAbandoned(owner, "let through", ({ note }) => isGone(note, site.host));
  if (part.policy !== "open") undo.push("open bridges", () => void Nftables.use(openBridges));
  const rulesets = rulesetsOf(part, site, noteWhere(site)).map((ruleset) => ({ ...ruleset, isMended, replace }));
  writeElements(owner, rulesets, undo);
  for (const family of familiesOf(part.addresses)) ensureMarkAccepted(family, part.adminChain);
  if (usesFirewalld(part)) addSources(part, undo);
}

/** An isolated pod's port is told by the host's end of its link; without one there is no bridge it is on. */
function rulesetsOf(part: FilterPart, { owner, hostLink }: Site, note?: string): Ruleset[] {
  const isPort = part.policy === "isolated" && hostLink !== undefined;
  return [filterRuleset(owner, part, note), ...(isPort ? [isolationRuleset(owner, hostLink)] : [])];
}

const usesFirewalld = ({ backend }: FilterPart): boolean =>
  backend === "firewalld" ||
  (backend === undefined && whereUsable("look for firewalld", (nft) => hasFirewalld(nft)) === true);

function addSources({ zone, addresses }: FilterPart, undo: Undo): void {
  for (const ip of addresses) {
    undo.push("remove sources of firewalld", () => removeSource(zone, ip));
    addSource(zone, ip);
  }
}

/** Elements of some attachments: the words their comments start with, which of those, and addresses that are known. */
interface Going {
  words: string;
  isMine(found: FoundElement): boolean;
  addresses: readonly Ip[];
}

/** Of a pod that is gone nothing tells what its network was called when its elements were made. */
const leftBy = (label: string): Going => ({
  words: withoutNetwork(label),
  isMine: isOfAttachment(label),
  addresses: [],
});

/** True when there were any. */
function removeElements({ words, isMine, addresses }: Going, part: FilterPart | undefined): boolean {
  const going = whereUsable("remove nftables elements", (nft) => {
    const known = acceptedElements(addresses).filter((ref) => {
      const found = nft.findElement(ref);
      return found && isMine(found);
    });
    const own = (sets: typeof acceptedSets) =>
      sets.flatMap(({ table, set }) =>
        nft
          .elements(table, set, [encodeUtf8(words)])
          .filter(isMine)
          .map(({ key }) => ({ table, set, key })),
      );
    const accepted = known.length > 0 ? known : own(acceptedSets);
    const policies = own(policySets);
    nft.deleteElements([...accepted, ...policies], isMine);
    if (policies.length > 0) openBridges(nft);
    return { isAny: accepted.length + policies.length > 0, ips: accepted.map(({ key }) => ipFromBytes(key)) };
  });
  const ips = going?.ips ?? [];
  if (part && ips.length > 0 && usesFirewalld(part)) for (const ip of ips) removeSource(part.zone, ip);
  return going?.isAny ?? false;
}

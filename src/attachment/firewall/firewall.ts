import { CniError, Code, codeFor, messageOf } from "../../cni/error.ts";
import { compareRulesets } from "../../kernel/nftables/compare.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";
import { applyRulesets } from "../../kernel/nftables/ruleset.ts";
import type { Family, Ip } from "../../net/ip.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import type { Ruleset } from "../../netlink/nftables/ruleset.ts";
import type { Firewall, Owner } from "../attachment.ts";
import { ownerLabel } from "../owner.ts";
import { dropUnusedChains, explained, whereUsable } from "./explained.ts";
import { assertIptables } from "./iptables.ts";
import { COMMENT_BYTES, isOfNetwork, startsWithWords } from "./label.ts";
import { masqueradeChainPrefix, masqueradeElements, masqueradeRuleset, masqueradeSets } from "./masquerade.ts";
import {
  applyIptablesMasquerade,
  checkIptablesMasquerade,
  collectIptablesMasquerade,
  removeIptablesMasquerade,
} from "./masquerade-iptables.ts";
import { applyPortMappings, checkPortMappings, collectPortMappings, removePortMappings } from "./port-mappings.ts";
import type { Backend, FirewallTraces, RegisterUndo } from "./traces.ts";
import { guardedElement, spoofCheckRuleset, spoofCheckSets } from "./spoof-check.ts";

export { applyPortMappings, checkPortMappings, collectPortMappings, removePortMappings } from "./port-mappings.ts";
export { removeReferenceRules } from "./reference.ts";
export { hasReferencePorts, removeReferencePorts } from "./reference-ports.ts";
export type { Backend, FirewallTraces, RegisterUndo } from "./traces.ts";

/** What nftables must hold, table by table. */
function rulesetsOf(owner: Owner, hostVeth: string, { masquerade, spoofCheck }: Firewall): Ruleset[] {
  return [
    ...(masquerade?.backend === "nftables" && masquerade.addresses.length > 0
      ? [masqueradeRuleset(owner, masquerade.addresses)]
      : []),
    ...(spoofCheck ? [spoofCheckRuleset(owner, hostVeth, spoofCheck.mac)] : []),
  ];
}

/** The owner's own elements, by their comments. */
const ownedBy = (owner: Owner): ((found: FoundElement) => boolean) => {
  const label = ownerLabel(owner, COMMENT_BYTES);
  return ({ comment }) => startsWithWords(comment, label);
};

/** Fails with the name of what is missing (tool, kernel module) before anything is changed. */
export function assertFirewallTools({ masquerade, spoofCheck, portMappings }: Firewall): void {
  if (masquerade?.backend === "nftables" || spoofCheck || portMappings?.backend === "nftables") {
    assertNftables(Code.Internal);
  }
  if (portMappings?.backend === "iptables") assertIptables(familiesOf(portMappings.addresses.map(({ ip }) => ip)));
  if (masquerade?.backend === "iptables") assertIptables(familiesOf(masquerade.addresses.map(({ ip }) => ip)));
}

/** IPv4 when nothing is known yet: what every configuration can have. */
const familiesOf = (ips: readonly Ip[]): Family[] =>
  ips.length === 0 ? [4] : ([4, 6] as const).filter((family) => ips.some((ip) => ip.family === family));

function assertNftables(code: number): void {
  try {
    Nftables.use((nft) => nft.probe());
  } catch (error) {
    throw new CniError(
      codeFor(error, code),
      "nftables cannot be used; the kernel module nf_tables and the capability CAP_NET_ADMIN are needed: " +
        messageOf(error),
      "",
      { cause: error },
    );
  }
}

/**
 * Makes the firewall's part of an attachment: one nftables transaction, and one iptables-restore per family where that
 * is asked for.
 */
export function applyFirewall(owner: Owner, hostVeth: string, firewall: Firewall, undo: RegisterUndo): void {
  const rulesets = rulesetsOf(owner, hostVeth, firewall);
  if (rulesets.length > 0) {
    // registered before: when the kernel's answer is lost (ENOBUFS), the rules may be there all the same
    undo(() =>
      Nftables.use((nft) =>
        nft.deleteElements(
          rulesets.flatMap(({ table, elements }) => elements.map((element) => ({ table, ...element }))),
          ownedBy(owner),
        ),
      ),
    );
    nftables(`write the nftables rules of ${ownerLabel(owner, COMMENT_BYTES)}`, (nft) => applyRulesets(nft, rulesets));
  }
  const { masquerade } = firewall;
  if (masquerade?.backend === "iptables") applyIptablesMasquerade(owner, masquerade.addresses, undo);
  if (firewall.portMappings) applyPortMappings(owner, hostVeth, firewall.portMappings, undo);
}

function nftables<T>(what: string, use: (nft: Nftables) => T): T {
  return explained(what, () => Nftables.use(use));
}

/** What is otherwise than `applyFirewall` made it, in words; empty when nothing is. */
export function checkFirewall(owner: Owner, hostVeth: string, firewall: Firewall): string[] {
  const rulesets = rulesetsOf(owner, hostVeth, firewall);
  const { masquerade } = firewall;
  return [
    ...(rulesets.length > 0 ? nftables("read nftables", (nft) => compareRulesets(nft, rulesets)) : []),
    ...(masquerade?.backend === "iptables" ? checkIptablesMasquerade(owner, masquerade.addresses) : []),
    ...(firewall.portMappings ? checkPortMappings(owner, hostVeth, firewall.portMappings) : []),
  ];
}

/**
 * Takes away all the owner has in the firewall; what is not there is success, and nobody else's elements are touched.
 * Best called before the veth is deleted: what the kernel defers then passes in the same time.
 */
export function removeFirewall({
  owner,
  hostVeth,
  addresses,
  backend,
  masquerade = true,
  portMappings,
}: FirewallTraces): void {
  const isMine = ownedBy(owner);
  whereUsable("remove nftables elements", (nft) => {
    nft.deleteElements(masqueradeElements(addresses), isMine);
    if (addresses.length === 0 && masquerade) nft.deleteFromSets(masqueradeSets, isMine);
    const guarded = nft.findElement(guardedElement(hostVeth));
    if (guarded && isMine(guarded)) nft.deleteFromSets(spoofCheckSets, isMine);
  });
  if (masquerade && backend === "iptables") removeIptablesMasquerade(owner, addresses);
  if (portMappings) removePortMappings(owner, { backend: portMappings, addresses });
}

/**
 * GC: takes away what belongs to attachments of the network that are not valid, and chains of its subnets nobody uses.
 */
export function collectFirewall(
  network: string,
  valid: readonly { containerId: string; ifname: string }[],
  backend?: Backend,
): void {
  const kept = valid.map((attachment) => ownerLabel({ network, ...attachment }, COMMENT_BYTES));
  const isLost = ({ comment }: FoundElement): boolean =>
    isOfNetwork(comment, network) && !kept.some((label) => startsWithWords(comment, label));
  collectPortMappings(network, valid, backend);
  whereUsable("remove nftables elements", (nft) => {
    nft.deleteFromSets([...masqueradeSets, ...spoofCheckSets], isLost);
    dropUnusedChains(nft, masqueradeChainPrefix(network));
  });
  if (backend === "iptables") collectIptablesMasquerade(network, valid);
}

/** Throws code 50 when the backend cannot work on this node; changes nothing. */
export function statusFirewall(backend: Backend): void {
  if (backend === "nftables") assertNftables(Code.NotAvailable);
  else assertIptables([4], Code.NotAvailable);
}

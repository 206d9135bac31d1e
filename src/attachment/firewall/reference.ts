import { sha512 } from "../../kernel/hash.ts";
import { NFPROTO } from "../../netlink/nftables/match.ts";
import { deleteChain, deleteRule, type Table } from "../../netlink/nftables/object.ts";
import type { Ip } from "../../net/ip.ts";
import type { Owner } from "../attachment.ts";
import { removeIptablesMasquerade } from "./masquerade-iptables.ts";
import { whereUsable } from "./explained.ts";

// What the Go reference plugins leave on a node for an attachment they made; podwire removes it when it has taken over.
// Its port mappings are in ports/reference-ports.ts.

const MASQUERADE: Table = { family: NFPROTO.INET, name: "cni_plugins_masquerade" };
const BRIDGE_NAT: Table = { family: NFPROTO.BRIDGE, name: "nat" };

const NFT_CHAIN_MAXNAMELEN = 128;

/** The reference keeps 16 hex digits. */
const shortHash = (text: string): string => sha512(text).slice(0, 16);

/** How the comment of the reference's nftables masquerade rules starts for an attachment. */
export const referenceMasqueradeHash = ({ network, containerId, ifname }: Owner): string =>
  `${shortHash(network)}-${shortHash(`${ifname}:${containerId}`)}`;

/** Removes the masquerading the reference made for an attachment, whose pod may be gone, by both its backends. */
export function removeReferenceMasquerade(owner: Owner, addresses: readonly Ip[], isGone = false): void {
  const hash = referenceMasqueradeHash(owner);
  whereUsable("remove the rules of other plugins", (nft) =>
    nft.deleteRules(MASQUERADE, ({ chain, comment }) => chain === "masq_checks" && comment.startsWith(hash)),
  );
  removeIptablesMasquerade(owner, addresses, isGone);
}

/** Removes the MAC spoof check the reference made for an attachment. */
export function removeReferenceSpoofCheck({ containerId, ifname }: Owner): void {
  const id = `${containerId}-${ifname}`;
  whereUsable("remove the rules of other plugins", (nft) => {
    const rules = nft.rules(BRIDGE_NAT, "PREROUTING").filter(({ comment }) => comment === `macspoofchk-${id}`);
    const chains = [`cni-br-iface-${id}`, `cni-br-iface-${id}-mac`].filter(
      (chain) => chain.length < NFT_CHAIN_MAXNAMELEN && nft.findChain(BRIDGE_NAT, chain),
    );
    nft.commit([
      ...rules.map(({ chain, handle }) => deleteRule(BRIDGE_NAT, chain, handle)),
      ...chains.map((chain) => deleteChain(BRIDGE_NAT, chain)),
    ]);
  });
}

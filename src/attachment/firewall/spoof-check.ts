import { macBytes } from "../../net/mac.ts";
import {
  isInSet,
  isNotInSet,
  loadMeta,
  loadPayload,
  NF_DROP,
  NFT_META,
  NFT_PAYLOAD,
  NFT_REG_2,
  verdict,
} from "../../netlink/nftables/expression.ts";
import { linkKey, NFPROTO } from "../../netlink/nftables/match.ts";
import { concatenation, type Table } from "../../netlink/nftables/object.ts";
import type { ChainSpec, ElementRef, Ruleset } from "../../netlink/nftables/ruleset.ts";
import type { Owner } from "../attachment.ts";
import { ownerLabel } from "../owner.ts";
import { COMMENT_BYTES } from "./label.ts";

/** Frames are looked at in the bridge, before it learns where a MAC lives. */
export const BRIDGE_TABLE: Table = { family: NFPROTO.BRIDGE, name: "podwire" };
export const BRIDGE_COMMENT = "podwire: what pods may send over their bridge";

/** NF_BR_PRE_ROUTING; NF_BR_PRI_NAT_DST_BRIDGED: where the reference looks too. */
const NF_BR_PRE_ROUTING = 0;
const PRIORITY = -300;

const GUARDED = "guarded";
const ALLOWED = "allowed";

/** Two lookups, however many pods there are: is this port guarded, and may it send from this MAC. */
const prerouting: ChainSpec = {
  name: "prerouting",
  hook: { type: "filter", hook: NF_BR_PRE_ROUTING, priority: PRIORITY },
  rules: [
    {
      line: `iifname @${GUARDED} iifname . ether saddr != @${ALLOWED} drop`,
      expressions: [
        ...loadMeta(NFT_META.IIFNAME),
        ...isInSet(GUARDED),
        ...loadMeta(NFT_META.IIFNAME),
        ...loadPayload({ base: NFT_PAYLOAD.LL_HEADER, offset: 6, length: 6 }, NFT_REG_2),
        ...isNotInSet(ALLOWED),
        ...verdict(NF_DROP),
      ],
    },
  ],
};

/** What the kernel must hold for the bridge to drop frames that `hostVeth` sends from any MAC but this one. */
export function spoofCheckRuleset(owner: Owner, hostVeth: string, mac: string): Ruleset {
  const comment = ownerLabel(owner, COMMENT_BYTES);
  return {
    table: BRIDGE_TABLE,
    comment: BRIDGE_COMMENT,
    sets: [
      { name: GUARDED, key: ["ifname"] },
      { name: ALLOWED, key: ["ifname", "ether_addr"] },
    ],
    chains: [prerouting],
    elements: [
      { set: GUARDED, key: linkKey(hostVeth), comment, what: `${hostVeth} in set ${GUARDED}` },
      {
        set: ALLOWED,
        key: concatenation(linkKey(hostVeth), macBytes(mac)),
        comment,
        what: `${hostVeth} . ${mac} in set ${ALLOWED}`,
      },
    ],
  };
}

/** Whether this host veth is guarded at all: the element to look for before the sets are searched for the pod's MAC. */
export const guardedElement = (hostVeth: string): ElementRef => ({
  table: BRIDGE_TABLE,
  set: GUARDED,
  key: linkKey(hostVeth),
});

/** What kernels without nftables of bridges cannot hold. */
export const BRIDGE_FRAME = { table: BRIDGE_TABLE, hook: prerouting.hook! };

export const spoofCheckSets = [GUARDED, ALLOWED].map((set) => ({ table: BRIDGE_TABLE, set }));

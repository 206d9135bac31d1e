import { formatIp, families, type Family, type Ip, ipBytes } from "../../net/ip.ts";
import { type Bytes, decodeText } from "../../netlink/codec.ts";
import { isInSet, isNotInSet, loadMeta, NF_DROP, NFT_META, verdict } from "../../netlink/nftables/expression.ts";
import { clearMarkBit, isTracked, linkKey, loadAddress, loadLinks, setMarkBit } from "../../netlink/nftables/match.ts";
import { deleteElement } from "../../netlink/nftables/element.ts";
import { concatenation, NF_INET } from "../../netlink/nftables/object.ts";
import type { ChainSpec, ElementSpec, RuleSpec, Ruleset } from "../../netlink/nftables/ruleset.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import type { FilterPart, Owner } from "../attachment.ts";
import { hostVethName, ownerLabel } from "../owner.ts";
import { COMMENT_BYTES } from "./label.ts";
import { INET_COMMENT, INET_TABLE } from "./masquerade.ts";
import { BRIDGE_COMMENT, BRIDGE_TABLE } from "./spoof-check.ts";

// Which forwarded packets of pods pass, in nftables. A drop is final in whatever chain it happens, so bridges are kept
// apart here. An accept is not: a packet passes only when no chain drops it, those of iptables and others included.
// So what may pass is marked here, before iptables' FORWARD, where one rule for all pods accepts the mark
// (filter-iptables.ts); behind it the mark is taken off again. A packet costs the same however many pods there are.

/** NF_IP_PRI_FILTER - 1: just before iptables' own chain. */
const BEFORE_FILTER = -1;
/** NF_IP_PRI_SECURITY + 1: behind all that filters. */
const AFTER_FILTER = 51;

/** Kubernetes has bits 14 and 15, portmap 13. The bit is there between two chains of one hook, and nowhere else. */
export const ACCEPT_MARK = 1 << 12;
const MARK = "0x00001000";

const accepted = (family: Family): string => `accepted${family}`;
/** Bridges with a policy; `inside` and `isolated` have a bridge twice: what comes in by it and goes out by it. */
const CLOSED = "closed";
const INSIDE = "inside";
const ISOLATED = "isolated";
/** For which pods a bridge is in these sets, as bridge and host end of their link: the last one's DEL takes it out. */
const CLOSED_PODS = "closedpods";
const ISOLATED_PODS = "isolatedpods";
/** Of table bridge: ports that exchange no frames. */
const ISOLATED_PORTS = "isolated";

const words = { 4: "ip", 6: "ip6" } as const;

const ofPod = (family: Family, side: "saddr" | "daddr", more: string, expressions: Bytes): RuleSpec => ({
  line: `${words[family]} ${side} @${accepted(family)} ${more}`,
  expressions: [...loadAddress(family, side), ...isInSet(accepted(family)), ...expressions],
});

const mark = `meta mark set meta mark | ${MARK}`;
/** What a pod sends, what answers it, and what a port mapping leads to it. */
const acceptRules = (family: Family): RuleSpec[] => [
  ofPod(family, "saddr", mark, setMarkBit(ACCEPT_MARK)),
  ofPod(family, "daddr", `ct state established,related ${mark}`, [
    ...isTracked("established"),
    ...setMarkBit(ACCEPT_MARK),
  ]),
  ofPod(family, "daddr", `ct status dnat ${mark}`, [...isTracked("dnat"), ...setMarkBit(ACCEPT_MARK)]),
];

const forward: ChainSpec = {
  name: "forward",
  hook: { type: "filter", hook: NF_INET.FORWARD, priority: BEFORE_FILTER },
  rules: [
    {
      line: `iifname . oifname @${ISOLATED} drop`,
      expressions: [...loadLinks(), ...isInSet(ISOLATED), ...verdict(NF_DROP)],
    },
    {
      line: `iifname @${CLOSED} oifname @${CLOSED} iifname . oifname != @${INSIDE} drop`,
      expressions: [
        ...loadMeta(NFT_META.IIFNAME),
        ...isInSet(CLOSED),
        ...loadMeta(NFT_META.OIFNAME),
        ...isInSet(CLOSED),
        ...loadLinks(),
        ...isNotInSet(INSIDE),
        ...verdict(NF_DROP),
      ],
    },
    ...families.flatMap(acceptRules),
  ],
};

/** What nftables must be able to hold. */
export const FILTER_FRAME = { table: INET_TABLE, hook: forward.hook! };

const unmark = (family: Family, side: "saddr" | "daddr"): RuleSpec =>
  ofPod(family, side, "meta mark set meta mark & 0xffffefff", clearMarkBit(ACCEPT_MARK));

const afterwards: ChainSpec = {
  name: "forward-unmark",
  hook: { type: "filter", hook: NF_INET.FORWARD, priority: AFTER_FILTER },
  rules: families.flatMap((family) => [unmark(family, "saddr"), unmark(family, "daddr")]),
};

const twice = (bridge: string): Uint8Array => concatenation(linkKey(bridge), linkKey(bridge));

/** A bridge in a set, for as long as a pod needs it there. */
const shared = (set: string, key: Uint8Array, bridge: string): ElementSpec => ({
  set,
  key,
  comment: "shared",
  what: `${bridge} in set ${set}`,
});

/**
 * What the kernel must hold in table inet for what is forwarded for the pod to pass, and for its bridge's policy; the
 * note goes with each address.
 */
export function filterRuleset(owner: Owner, { addresses, policy, bridge }: FilterPart, note?: string): Ruleset {
  const comment = ownerLabel(owner, COMMENT_BYTES);
  const pod = (set: string): ElementSpec => ({
    set,
    key: concatenation(linkKey(bridge!), linkKey(hostVethName(owner))),
    comment,
    what: `a pod of ${bridge} in set ${set}`,
  });
  const isClosed = policy !== "open" && bridge !== undefined;
  const isIsolated = policy === "isolated" && bridge !== undefined;
  return {
    table: INET_TABLE,
    comment: INET_COMMENT,
    sets: [
      { name: accepted(4), key: ["ipv4_addr"] },
      { name: accepted(6), key: ["ipv6_addr"] },
      { name: CLOSED, key: ["ifname"] },
      ...[INSIDE, ISOLATED, CLOSED_PODS, ISOLATED_PODS].map((name) => ({
        name,
        key: ["ifname" as const, "ifname" as const],
      })),
    ],
    chains: [forward, afterwards],
    elements: [
      ...addresses.map((ip): ElementSpec => ({
        set: accepted(ip.family),
        key: ipBytes(ip),
        comment,
        ...(note !== undefined && { note }),
        what: `${formatIp(ip)} in set ${accepted(ip.family)}`,
      })),
      ...(isClosed ? [pod(CLOSED_PODS)] : []),
      ...(isIsolated ? [pod(ISOLATED_PODS)] : []),
    ],
    shared: [
      ...(isClosed ? [shared(CLOSED, linkKey(bridge), bridge), shared(INSIDE, twice(bridge), bridge)] : []),
      ...(isIsolated ? [shared(ISOLATED, twice(bridge), bridge)] : []),
    ],
  };
}

/** NF_BR_FORWARD; NF_BR_PRI_FILTER_BRIDGED */
const NF_BR_FORWARD = 2;
const BRIDGED = -200;

const bridgeForward: ChainSpec = {
  name: "forward",
  hook: { type: "filter", hook: NF_BR_FORWARD, priority: BRIDGED },
  rules: [
    {
      line: `iifname @${ISOLATED_PORTS} oifname @${ISOLATED_PORTS} drop`,
      expressions: [
        ...loadMeta(NFT_META.IIFNAME),
        ...isInSet(ISOLATED_PORTS),
        ...loadMeta(NFT_META.OIFNAME),
        ...isInSet(ISOLATED_PORTS),
        ...verdict(NF_DROP),
      ],
    },
  ],
};

/** What the kernel must hold in table bridge for an isolated pod: its frames reach no other isolated one's port. */
export const isolationRuleset = (owner: Owner, hostLink: string): Ruleset => ({
  table: BRIDGE_TABLE,
  comment: BRIDGE_COMMENT,
  sets: [{ name: ISOLATED_PORTS, key: ["ifname"] }],
  chains: [bridgeForward],
  elements: [
    {
      set: ISOLATED_PORTS,
      key: linkKey(hostLink),
      comment: ownerLabel(owner, COMMENT_BYTES),
      what: `${hostLink} in set ${ISOLATED_PORTS}`,
    },
  ],
});

/** Where the addresses of pods are. */
export const acceptedSets = families.map((family) => ({ table: INET_TABLE, set: accepted(family) }));

/** Where else a pod may have an element of its own. */
export const policySets = [
  ...[CLOSED_PODS, ISOLATED_PODS].map((set) => ({ table: INET_TABLE, set })),
  { table: BRIDGE_TABLE, set: ISOLATED_PORTS },
];

/** Where the elements of these addresses are, whoever owns them. */
export const acceptedElements = (addresses: readonly Ip[]) =>
  addresses.map((ip) => ({ table: INET_TABLE, set: accepted(ip.family), key: ipBytes(ip) }));

/** Opens bridges that no pod has closed any more; not while an ADD closes one. */
export const openBridges = (nft: Nftables): boolean =>
  nft.commitUnlessChanged(() =>
    [
      { pods: CLOSED_PODS, sets: [CLOSED, INSIDE] },
      { pods: ISOLATED_PODS, sets: [ISOLATED] },
    ].flatMap(({ pods, sets }) => {
      const bridgeOf = ({ key }: { key: Uint8Array }): string => decodeText(key.subarray(0, 16));
      const used = new Set(nft.elements(INET_TABLE, pods).map(bridgeOf));
      return sets.flatMap((set) =>
        nft
          .elements(INET_TABLE, set)
          .filter((found) => !used.has(bridgeOf(found)))
          .map(({ key }) => deleteElement(INET_TABLE, set, key)),
      );
    }),
  );

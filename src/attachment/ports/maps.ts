import {
  destinationNat,
  loadDestinationKind,
  loadMeta,
  masquerade,
  compare,
  NF_DROP,
  NFT_JUMP,
  NFT_META,
  NFT_REG32_01,
  NFT_REG32_02,
  NFT_REG32_05,
  NFT_REG_2,
  NFT_RETURN,
  valueFromMap,
  verdict,
  verdictFromMap,
} from "../../netlink/nftables/expression.ts";
import {
  addressIn,
  hasMarkBit,
  isFamily,
  linkKey,
  loadAddress,
  loadDestinationPort,
  nfproto,
  setMarkBit,
} from "../../netlink/nftables/match.ts";
import { concatenation, NF_INET, type SetSpec } from "../../netlink/nftables/object.ts";
import type { ChainSpec, ElementSpec, RuleSpec, Ruleset } from "../../netlink/nftables/ruleset.ts";
import { type Bytes, word } from "../../netlink/codec.ts";
import {
  defaultPrefix,
  families,
  type Family,
  formatPrefix,
  ipBytes,
  networkOf,
  parsePrefix,
  type Prefix,
} from "../../net/ip.ts";
import type { PortMapping, PortsPart } from "../attachment.ts";
import { INET_COMMENT, INET_TABLE } from "../firewall/masquerade.ts";
import {
  addressType,
  decidingMap,
  describePort,
  hostAddress,
  hostPorts,
  keyTypes,
  mappingsFor,
  portBytes,
  portKey,
  targets,
} from "./keys.ts";
import { portOwners } from "./owners.ts";

// Port mappings in nftables. A new connection to an address of the node costs one lookup by protocol and port (two
// where somebody asked for a certain host address), which leads to a chain that depends on the pod's subnet and on snat
// alone; there a second map says which pod it is for.

const portSets = (): SetSpec[] => [
  ...families.flatMap((family) =>
    [true, false].flatMap((hasAddress): SetSpec[] => [
      { name: hostPorts(family, hasAddress), key: keyTypes(family, hasAddress), data: "verdict" },
      {
        name: targets(family, hasAddress),
        key: keyTypes(family, hasAddress),
        data: [addressType(family), "inet_service"],
      },
    ]),
  ),
  portOwners,
];

const words = { 4: "ip", 6: "ip6" } as const;

/** NF_IP_PRI_NAT_DST + 10: Kubernetes services and whoever else translates there come first (CVE-2019-9946). */
const AFTER_DSTNAT = -90;
/** NF_IP_PRI_NAT_SRC - 10: decided before anybody else's masquerading. */
const BEFORE_SRCNAT = 90;
/** NF_IP_PRI_RAW: before connection tracking turns answers back. */
const RAW = -300;
const IPPROTO_KEY = "meta l4proto . th dport";

const keyText = (family: Family, hasAddress: boolean): string =>
  hasAddress ? `${words[family]} daddr . ${IPPROTO_KEY}` : IPPROTO_KEY;

/** What a rule begins with where its key has no address, which would say the family. */
const familyText = (family: Family, hasAddress: boolean): string => (hasAddress ? "" : `meta nfproto ipv${family} `);

/** `ip daddr . meta l4proto . th dport` or the latter two: each part begins at a register of its own. */
function loadKey(family: Family, hasAddress: boolean): Bytes {
  if (!hasAddress) return [...isFamily(family), ...loadMeta(NFT_META.L4PROTO), ...loadDestinationPort(NFT_REG32_01)];
  const [protocol, port] = family === 4 ? [NFT_REG32_01, NFT_REG32_02] : [NFT_REG_2, NFT_REG32_05];
  return [...loadAddress(family, "daddr"), ...loadMeta(NFT_META.L4PROTO, protocol), ...loadDestinationPort(port)];
}

const localhost = (family: Family): Prefix => parsePrefix(family === 4 ? "127.0.0.0/8" : "::1/128")!;

const HOSTPORTS = "hostports";

/**
 * Leads new connections to the chain of their mapping. IPv6 has no route_localnet: `[::1]` is left to whoever listens
 * there, so it is refused, not lost.
 */
const hostPortsChain: ChainSpec = {
  name: HOSTPORTS,
  rules: [
    { line: "ip6 daddr ::1 return", expressions: [...addressIn("daddr", localhost(6)), ...verdict(NFT_RETURN)] },
    ...families.flatMap((family) =>
      [true, false].map((hasAddress): RuleSpec => ({
        line: `${familyText(family, hasAddress)}${keyText(family, hasAddress)} vmap @${hostPorts(family, hasAddress)}`,
        expressions: [...loadKey(family, hasAddress), ...verdictFromMap(hostPorts(family, hasAddress))],
      })),
    ),
  ],
};

/**
 * Only what is addressed to the node itself: a packet merely routed through it to the same port elsewhere is not ours
 * (CVE-2025-67499).
 */
const toNode: RuleSpec = {
  line: "fib daddr type local jump hostports",
  expressions: [...loadDestinationKind(), ...compare(word(2 /* RTN_LOCAL */)), ...verdict(NFT_JUMP, HOSTPORTS)],
};

/**
 * The pod's link gets route_localnet, which would let pods reach what listens on the node's 127.0.0.1: nothing from a
 * wire may, nor say that it comes from there.
 */
const guard = (side: "daddr" | "saddr"): RuleSpec => ({
  line: `iifname != "lo" ip ${side} 127.0.0.0/8 drop`,
  expressions: [
    ...loadMeta(NFT_META.IIFNAME),
    ...compare(linkKey("lo"), "!="),
    ...addressIn(side, localhost(4)),
    ...verdict(NF_DROP),
  ],
});

const guardChain: ChainSpec = {
  name: "localhost",
  hook: { type: "filter", hook: NF_INET.PRE_ROUTING, priority: RAW },
  rules: [guard("daddr"), guard("saddr")],
};

/** The guard of 127.0.0.1 alone, for mappings by iptables: without it no link gets route_localnet. */
export const guardRuleset: Ruleset = {
  table: INET_TABLE,
  comment: INET_COMMENT,
  sets: [],
  chains: [guardChain],
  elements: [],
};

/** markMasqBit as the reference has it unless it is configured. */
const USUAL_BIT = 13;

const markName = (bit: number): string => (bit === USUAL_BIT ? "" : `-bit${bit}`);
/** As nft prints a mark. */
const markText = (bit: number): string => `0x${((1 << bit) >>> 0).toString(16).padStart(8, "0")}`;

const baseChains = (bit: number): ChainSpec[] => [
  hostPortsChain,
  {
    name: "hostports-prerouting",
    hook: { type: "nat", hook: NF_INET.PRE_ROUTING, priority: AFTER_DSTNAT },
    rules: [toNode],
  },
  { name: "hostports-output", hook: { type: "nat", hook: NF_INET.LOCAL_OUT, priority: AFTER_DSTNAT }, rules: [toNode] },
  {
    name: `hostports-postrouting${markName(bit)}`,
    hook: { type: "nat", hook: NF_INET.POST_ROUTING, priority: BEFORE_SRCNAT },
    rules: [
      {
        line: `meta mark & ${markText(bit)} == ${markText(bit)} masquerade`,
        expressions: [...hasMarkBit(1 << bit), ...masquerade()],
      },
    ],
  },
  guardChain,
];

type Policy = Pick<PortsPart, "snat" | "masqAll" | "markMasqBit">;

/** Every chain of mappings is named so; what it says follows from its name. */
export const PORT_CHAIN_PREFIX = "hostport-";

/** The chain of mappings to a pod: `subnet` is its address with the prefix length. */
export function policyChain(pod: Prefix, { snat, masqAll, markMasqBit }: Policy): ChainSpec {
  const subnet = networkOf(pod);
  const family = subnet.ip.family;
  const mark = (source: Prefix): RuleSpec => ({
    line: `${words[family]} saddr ${formatPrefix(source)} meta mark set meta mark | ${markText(markMasqBit)}`,
    expressions: [...addressIn("saddr", source), ...setMarkBit(1 << markMasqBit)],
  });
  const everybody = (): RuleSpec => ({
    line: `meta mark set meta mark | ${markText(markMasqBit)}`,
    expressions: setMarkBit(1 << markMasqBit),
  });
  // the pod itself and its neighbours would answer each other directly, past the translation; 127.0.0.1 means another
  // machine there
  const marks = (): RuleSpec[] =>
    masqAll ? [everybody()] : [mark(subnet), ...(family === 4 ? [mark(localhost(4))] : [])];
  const source = masqAll ? `all${family}` : formatPrefix(subnet).replaceAll(":", "_");
  return {
    name: PORT_CHAIN_PREFIX + (snat ? source + markName(markMasqBit) : `plain${family}`),
    // a getter: most calls find the chain there and never encode a rule
    get rules() {
      return [...(snat ? marks() : []), ...[true, false].map((hasAddress) => translate(family, hasAddress))];
    },
  };
}

/** Whose mappings `policyChain` names so: those of a subnet's pods, or of a family's. */
export function podsOfChain(name: string): Prefix {
  const [source = ""] = name.slice(PORT_CHAIN_PREFIX.length).split("-");
  return parsePrefix(source.replaceAll("_", ":")) ?? defaultPrefix(source.endsWith("6") ? 6 : 4);
}

/** `dnat ip to meta l4proto . th dport map @hostporttargets4` */
const translate = (family: Family, hasAddress: boolean): RuleSpec => ({
  line:
    `${familyText(family, hasAddress)}dnat ${words[family]} ` +
    `to ${keyText(family, hasAddress)} map @${targets(family, hasAddress)}`,
  expressions: [
    ...loadKey(family, hasAddress),
    ...valueFromMap(targets(family, hasAddress)),
    ...destinationNat(nfproto(family), family === 4 ? NFT_REG32_01 : NFT_REG_2),
  ],
});

function mappingElements(pod: Prefix, mapping: PortMapping, chain: string, comment: string): ElementSpec[] {
  const address = hostAddress(mapping);
  const [key, family] = [portKey(mapping, address), pod.ip.family];
  const what = (set: string): string => `host port ${describePort(mapping, address)} in map ${set}`;
  const [deciding, target] = [decidingMap(family, address), targets(family, address !== undefined)];
  return [
    { set: deciding, key, verdict: { code: NFT_JUMP, chain }, comment, what: what(deciding) },
    {
      set: target,
      key,
      data: concatenation(ipBytes(pod.ip), portBytes(mapping.containerPort)),
      comment,
      what: what(target),
    },
  ];
}

/** What the kernel must hold for the mappings. `chainOf` may put a chain of its own in front of that of a subnet. */
export function portMappingRuleset(
  ports: PortsPart,
  comment: string,
  chainOf: (family: Family, chain: string) => string = (_, chain) => chain,
): Ruleset {
  const chains = new Map<string, ChainSpec>();
  const elements = ports.addresses.flatMap((pod) => {
    const mappings = mappingsFor(pod, ports);
    if (mappings.length === 0) return [];
    const chain = policyChain(pod, ports);
    chains.set(chain.name, chain);
    return mappings.flatMap((mapping) => mappingElements(pod, mapping, chainOf(pod.ip.family, chain.name), comment));
  });
  return {
    table: INET_TABLE,
    comment: INET_COMMENT,
    sets: portSets(),
    chains: [...chains.values(), ...baseChains(ports.markMasqBit)],
    elements,
  };
}

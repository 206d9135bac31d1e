import { formatIp, formatPrefix, ipBytes, networkOf, parsePrefix, type Family, type Ip, type Prefix } from "../../net/ip.ts";
import { masquerade, NFT_JUMP, NFT_RETURN, verdict, verdictFromMap } from "../../kernel/nftables/expression.ts";
import { addressIn, loadAddress, NFPROTO } from "../../kernel/nftables/match.ts";
import type { ElementRef } from "../../kernel/nftables/nftables.ts";
import { NF_INET, type Table } from "../../kernel/nftables/object.ts";
import type { ChainSpec, ElementSpec, RuleSpec, Ruleset } from "../../kernel/nftables/ruleset.ts";
import type { Owner } from "../attachment.ts";
import { ownerLabel } from "../owner.ts";
import { chainNetwork, COMMENT_BYTES } from "./label.ts";

/** The one table of podwire for traffic that is routed. */
export const INET_TABLE: Table = { family: NFPROTO.INET, name: "podwire" };
export const INET_COMMENT = "podwire: masquerading and port mappings of pods";

export const masqueradeMap = (family: Family): string => `masquerade${family}`;

/** NF_IP_PRI_NAT_SRC, where the reference has its rules too. */
const SRCNAT = 100;

const multicast = (family: Family): Prefix => parsePrefix(family === 4 ? "224.0.0.0/4" : "ff00::/8")!;
const word = { 4: "ip", 6: "ip6" } as const;

/** `ip saddr vmap @masquerade4`: whoever sends, one lookup decides, however many pods there are. */
const lookup = (family: Family): RuleSpec => ({
  line: `${word[family]} saddr vmap @${masqueradeMap(family)}`,
  expressions: [...loadAddress(family, "saddr"), ...verdictFromMap(masqueradeMap(family))],
});

// Bytecode is built when it is needed: built on loading, it would cost every call that has no use for it.
const postrouting = (): ChainSpec => ({
  name: "postrouting",
  hook: { type: "nat", hook: NF_INET.POST_ROUTING, priority: SRCNAT },
  // a getter, as in every chain: most calls find the chains there and never encode a rule
  get rules() {
    return [lookup(4), lookup(6)];
  },
});

/** Names a subnet in a chain's name: nft reads no colon there. */
const subnetName = (subnet: Prefix): string => formatPrefix(subnet).replaceAll(":", "_");

/** All chains of the network begin so. */
export const masqueradeChainPrefix = (network: string): string => `masq-${chainNetwork(network)}-`;

/** The chain of a network and subnet; what it says follows from its name, so pods come and go without touching it. */
function subnetChain(network: string, subnet: Prefix): ChainSpec {
  const family = subnet.ip.family;
  const stay = (prefix: Prefix): RuleSpec => ({
    line: `${word[family]} daddr ${formatPrefix(prefix)} return`,
    expressions: [...addressIn("daddr", prefix), ...verdict(NFT_RETURN)],
  });
  return {
    name: masqueradeChainPrefix(network) + subnetName(subnet),
    get rules() {
      return [stay(subnet), stay(multicast(family)), { line: "masquerade", expressions: masquerade() }];
    },
  };
}

/** What the kernel must hold for these addresses of the owner to be masqueraded outside their subnets. */
export function masqueradeRuleset(owner: Owner, addresses: readonly Prefix[]): Ruleset {
  const comment = ownerLabel(owner, COMMENT_BYTES);
  const chains = new Map<string, ChainSpec>();
  const elements = addresses.map((address): ElementSpec => {
    const chain = subnetChain(owner.network, networkOf(address));
    chains.set(chain.name, chain);
    const set = masqueradeMap(address.ip.family);
    return { set, key: ipBytes(address.ip), verdict: { code: NFT_JUMP, chain: chain.name }, comment, what: `${formatIp(address.ip)} in map ${set}` };
  });
  return {
    table: INET_TABLE,
    comment: INET_COMMENT,
    sets: [
      { name: masqueradeMap(4), key: ["ipv4_addr"], data: "verdict" },
      { name: masqueradeMap(6), key: ["ipv6_addr"], data: "verdict" },
    ],
    chains: [...chains.values(), postrouting()],
    elements,
  };
}

/** Where the elements of these addresses are, whoever owns them. */
export const masqueradeElements = (addresses: readonly Ip[]): ElementRef[] =>
  addresses.map((ip) => ({ table: INET_TABLE, set: masqueradeMap(ip.family), key: ipBytes(ip) }));

export const masqueradeSets = ([4, 6] as const).map((family) => ({ table: INET_TABLE, set: masqueradeMap(family) }));

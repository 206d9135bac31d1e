import {
  families,
  formatIp,
  formatPrefix,
  ipBytes,
  networkOf,
  parsePrefix,
  type Family,
  type Ip,
  type Prefix,
} from "../../net/ip.ts";
import { masquerade, NFT_JUMP, NFT_RETURN, verdict, verdictFromMap } from "../../netlink/nftables/expression.ts";
import { addressIn, loadAddress, NFPROTO } from "../../netlink/nftables/match.ts";
import { NF_INET, type Table } from "../../netlink/nftables/object.ts";
import type { ChainSpec, ElementRef, ElementSpec, RuleSpec, Ruleset } from "../../netlink/nftables/ruleset.ts";
import type { Owner } from "../attachment.ts";
import { ownerLabel } from "../owner.ts";
import { chainNetwork, COMMENT_BYTES } from "./label.ts";

/** The one table of podwire for traffic that is routed. */
export const INET_TABLE: Table = { family: NFPROTO.INET, name: "podwire" };
export const INET_COMMENT = "podwire: forwarding, masquerading and port mappings of pods";

const masqueradeMap = (family: Family): string => `masquerade${family}`;

/** NF_IP_PRI_NAT_SRC, where the reference has its rules too. */
const SRCNAT = 100;

const multicast = { 4: parsePrefix("224.0.0.0/4")!, 6: parsePrefix("ff00::/8")! } as const;
const word = { 4: "ip", 6: "ip6" } as const;

/** `ip saddr vmap @masquerade4`: whoever sends, one lookup decides, however many pods there are. */
const lookup = (family: Family): RuleSpec => ({
  line: `${word[family]} saddr vmap @${masqueradeMap(family)}`,
  expressions: [...loadAddress(family, "saddr"), ...verdictFromMap(masqueradeMap(family))],
});

const postrouting: ChainSpec = {
  name: "postrouting",
  hook: { type: "nat", hook: NF_INET.POST_ROUTING, priority: SRCNAT },
  rules: [lookup(4), lookup(6)],
};

/** What goes there is not masqueraded. */
const stay = (prefix: Prefix): RuleSpec => ({
  line: `${word[prefix.ip.family]} daddr ${formatPrefix(prefix)} return`,
  expressions: [...addressIn("daddr", prefix), ...verdict(NFT_RETURN)],
});
const stayMulticast = { 4: stay(multicast[4]), 6: stay(multicast[6]) } as const;
const masqueradeRest: RuleSpec = { line: "masquerade", expressions: masquerade() };

/** Names a subnet in a chain's name: nft reads no colon there. */
const subnetName = (subnet: Prefix): string => formatPrefix(subnet).replaceAll(":", "_");

/** All chains of the network begin so. */
export const masqueradeChainPrefix = (network: string): string => `masq-${chainNetwork(network)}-`;

/** The chain of a network and subnet; what it says follows from its name, so pods come and go without touching it. */
function subnetChain(network: string, subnet: Prefix): ChainSpec {
  const family = subnet.ip.family;
  return {
    name: masqueradeChainPrefix(network) + subnetName(subnet),
    // a getter: most calls find the chain there and never encode a rule
    get rules() {
      return [stay(subnet), stayMulticast[family], masqueradeRest];
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
    return {
      set,
      key: ipBytes(address.ip),
      verdict: { code: NFT_JUMP, chain: chain.name },
      comment,
      what: `${formatIp(address.ip)} in map ${set}`,
    };
  });
  return {
    table: INET_TABLE,
    comment: INET_COMMENT,
    sets: [
      { name: masqueradeMap(4), key: ["ipv4_addr"], data: "verdict" },
      { name: masqueradeMap(6), key: ["ipv6_addr"], data: "verdict" },
    ],
    chains: [...chains.values(), postrouting],
    elements,
  };
}

/** Where the elements of these addresses are, whoever owns them. */
export const masqueradeElements = (addresses: readonly Ip[]): ElementRef[] =>
  addresses.map((ip) => ({ table: INET_TABLE, set: masqueradeMap(ip.family), key: ipBytes(ip) }));

/** What kernels before 5.2, and those without the family inet, cannot hold. */
export const INET_FRAME = { table: INET_TABLE, hook: postrouting.hook! };

export const masqueradeSets = families.map((family) => ({ table: INET_TABLE, set: masqueradeMap(family) }));

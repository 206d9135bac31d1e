import { readFile } from "../../kernel/file.ts";
import { NFPROTO, nfproto } from "../../kernel/nftables/match.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import { deleteChain, deleteRule, type Table } from "../../kernel/nftables/object.ts";
import type { Ip } from "../../net/ip.ts";
import type { Owner, PortMappings } from "../attachment.ts";
import { exists } from "../../kernel/libc.ts";
import { removeIptablesMasquerade } from "./masquerade-iptables.ts";
import { hasIptables } from "./iptables.ts";
import { checkIptablesPorts, portChain, removeIptablesPorts } from "./port-mappings-iptables.ts";
import { mappingsFor } from "./port-maps.ts";
import { whereUsable } from "./explained.ts";

// What the Go reference plugins leave on a node for an attachment they made; podwire removes it when it has taken over.

const MASQUERADE: Table = { family: NFPROTO.INET, name: "cni_plugins_masquerade" };
const BRIDGE_NAT: Table = { family: NFPROTO.BRIDGE, name: "nat" };

const NFT_CHAIN_MAXNAMELEN = 128;

const sha512 = (text: string): string => new Bun.CryptoHasher("sha512").update(text).digest("hex").slice(0, 16);

/** How the comment of the reference's nftables masquerade rules starts for an attachment. */
export const referenceMasqueradeHash = ({ network, containerId, ifname }: Owner): string => `${sha512(network)}-${sha512(`${ifname}:${containerId}`)}`;

/** Removes the rules the reference made for an attachment: masquerading by both its backends, and the MAC spoof check. */
export function removeReferenceRules(owner: Owner, addresses: readonly Ip[]): void {
  whereUsable("remove the rules of other plugins", (nft) => {
    removeMasquerade(nft, owner);
    removeSpoofCheck(nft, owner);
  });
  removeIptablesMasquerade(owner, addresses);
}

function removeMasquerade(nft: Nftables, owner: Owner): void {
  const hash = referenceMasqueradeHash(owner);
  const rules = nft.rules(MASQUERADE, "masq_checks").filter(({ comment }) => comment.startsWith(hash));
  nft.commit(rules.map(({ chain, handle }) => deleteRule(MASQUERADE, chain, handle)));
}

function removeSpoofCheck(nft: Nftables, { containerId, ifname }: Owner): void {
  const id = `${containerId}-${ifname}`;
  const rules = nft.rules(BRIDGE_NAT, "PREROUTING").filter(({ comment }) => comment === `macspoofchk-${id}`);
  const chains = [`cni-br-iface-${id}`, `cni-br-iface-${id}-mac`].filter((chain) => chain.length < NFT_CHAIN_MAXNAMELEN && nft.findChain(BRIDGE_NAT, chain));
  nft.commit([...rules.map(({ chain, handle }) => deleteRule(BRIDGE_NAT, chain, handle)), ...chains.map((chain) => deleteChain(BRIDGE_NAT, chain))]);
}

const HOSTPORT_CHAINS = ["hostports", "hostip_hostports", "masquerading"];
const LEGACY_TABLES = { 4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names" } as const;
const families = [4, 6] as const;

/** Removes the port mappings the reference made for a container: its nftables rules, and by the tool its iptables chain where it has one. */
export function removeReferencePorts(owner: Owner): void {
  const hasChain = whereUsable("remove the port mappings of other plugins", (nft) => {
    for (const family of families) removeHostPorts(nft, { family: nfproto(family), name: "cni_hostport" }, owner);
    return families.some((family) => nft.findChain({ family: nfproto(family), name: "nat" }, portChain(owner)));
  });
  if (hasChain || families.some((family) => hasLegacyNat(LEGACY_TABLES[family]))) removeIptablesPorts(owner);
}

function removeHostPorts(nft: Nftables, table: Table, { containerId }: Owner): void {
  const rules = HOSTPORT_CHAINS.flatMap((chain) => nft.rules(table, chain)).filter(({ comment }) => comment === containerId);
  nft.commit(rules.map(({ chain, handle }) => deleteRule(table, chain, handle)));
}

/** True when all port mappings of a container are there as the reference makes them, in either of its backends. */
export function hasReferencePorts(owner: Owner, ports: PortMappings): boolean {
  const counts = whereUsable("look for the port mappings of other plugins", (nft) => new Map(families.map((family) => [family, countHostPorts(nft, nfproto(family), owner)])));
  return ports.addresses.every((pod) => {
    const wanted = mappingsFor(pod, ports).length;
    const { family } = pod.ip;
    return (counts?.get(family) ?? 0) >= wanted || (hasIptables(family) && checkIptablesPorts(owner, { ...ports, addresses: [pod] }).length === 0);
  });
}

const countHostPorts = (nft: Nftables, family: number, { containerId }: Owner): number =>
  nft.rules({ family, name: "cni_hostport" }, "hostports").filter(({ comment }) => comment === containerId).length;

/** The old iptables keeps its tables where netlink does not see them; this file names those in use. */
const hasLegacyNat = (path: string): boolean => exists(path) && readFile(path).toString().split("\n").includes("nat");

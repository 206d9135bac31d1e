import type { Nftables } from "../../kernel/nftables/nftables.ts";
import { IPPROTO_UDP } from "../../netlink/conntrack.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import type { Owner, PortsPart } from "../attachment.ts";
import { encodeUtf8 } from "../../net/bytes.ts";
import { type Family, type Ip, ipFromBytes, uniqueIps } from "../../net/ip.ts";
import { whereUsable } from "../firewall/explained.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import type { Selection } from "../kind.ts";
import type { Site } from "../site.ts";
import type { Removed } from "./iptables-ports.ts";
import { decidingSets, decodePortKey, decodeTarget, targetSetOf } from "./keys.ts";
import { keepLocalhostOut } from "./localhost.ts";
import { isLostPort, isOfLinkless, isPortOf, portNetworkLabel } from "./map-holders.ts";
import { findOwned, placesOf, portOwners } from "./owners.ts";
import { forgetStaleFlows, type UdpPort } from "./stale-flows.ts";

/** Whose elements go: which are theirs, and where such are, in the maps that decide and in the set of owners. */
export interface Going {
  isMine(found: FoundElement): boolean;
  find(nft: Nftables): Mine[];
}

/** An attachment's, by the ports noted for it and those its configuration names. */
export function goingOf(owner: Owner, part: PortsPart | undefined): Going {
  const isMine = isPortOf(owner);
  const find = (nft: Nftables): Mine[] => {
    const { ports, elements } = findOwned(nft, owner);
    const mapped = placesOf([...ports, ...(part?.mappings ?? [])]).flatMap((place): Mine[] => {
      const found = nft.findElement({ table: INET_TABLE, ...place });
      return found && isMine(found) ? [{ ...place, found }] : [];
    });
    return [...elements.map((found) => ({ set: portOwners.name, key: found.key, found })), ...mapped];
  };
  return { isMine, find };
}

/** Those of attachments that are not valid: all elements of the network are looked at. */
export function goingWithout(selection: Selection): Going {
  const isMine = isLostPort(selection);
  const mentions = [encodeUtf8(portNetworkLabel(selection.network))];
  const find = (nft: Nftables): Mine[] =>
    [portOwners.name, ...decidingSets].flatMap((set) =>
      nft
        .elements(INET_TABLE, set, mentions)
        .filter(isMine)
        .map((found) => ({ set, key: found.key, found })),
    );
  return { isMine, find };
}

/**
 * Removes the elements of podwire's maps, and what is left of mappings that went, `others` by iptables among them: what
 * UDP flows remember, and what let 127.0.0.1 in; `addresses` are those of the pods as far as they are known otherwise.
 * True where there was anything.
 */
export function removePorts(going: Going, others: Removed, addresses: readonly Ip[], site: Site): boolean {
  const removed = whereUsable("remove port mappings", (nft) => {
    const mapped = removeMapped(nft, going);
    const udp = [...mapped.udp, ...others.udp];
    const pods = uniqueIps([...addresses, ...mapped.pods, ...others.pods]);
    if (udp.length > 0) forgetStaleFlows(pods, udp, { host: site.host, netfilter: nft.socket });
    return { found: mapped.found, pods, linkless: [...mapped.linkless, ...others.linkless] };
  });
  const found = (removed?.found ?? false) || others.found;
  const led = removed ?? { pods: uniqueIps([...addresses, ...others.pods]), linkless: others.linkless };
  if (found) keepLocalhostOut(led, site, site.hostLink);
  return found;
}

function removeMapped(nft: Nftables, { isMine, find }: Going): Removed {
  const mine = find(nft);
  const mapped = mine.filter(({ set }) => set !== portOwners.name).map((ref) => ({ ...ref, pod: podOf(nft, ref) }));
  const refs = [...mine, ...mapped.map(({ set, key }) => ({ set: targetSetOf(set), key }))];
  nft.deleteElements(
    refs.map(({ set, key }) => ({ table: INET_TABLE, set, key })),
    isMine,
  );
  return {
    found: mapped.length > 0,
    pods: mapped.flatMap(({ pod }) => pod ?? []),
    linkless: mapped.flatMap(({ pod, found }) => (pod && isOfLinkless(found) ? [pod] : [])),
    udp: mapped.filter(({ key }) => decodePortKey(key).protocol === IPPROTO_UDP).map(udpFlow),
  };
}

interface Element {
  set: string;
  key: Uint8Array;
}

/** As it was found. */
type Mine = Element & { found: FoundElement };

/** Where an element of a deciding map leads. */
function podOf(nft: Nftables, { set, key }: Element): Ip | undefined {
  const target = nft.findElement({ table: INET_TABLE, set: targetSetOf(set), key })?.data;
  return target && ipFromBytes(decodeTarget(target));
}

function udpFlow({ set, key, pod }: Element & { pod: Ip | undefined }): UdpPort {
  const { hostPort, address } = decodePortKey(key);
  return { family: familyOfSet(set), hostPort, ...(address && { address: ipFromBytes(address) }), pod };
}

const familyOfSet = (set: string): Family => (set.endsWith("4") ? 4 : 6);

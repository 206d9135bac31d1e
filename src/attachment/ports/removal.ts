import type { Nftables } from "../../kernel/nftables/nftables.ts";
import { IPPROTO_UDP } from "../../netlink/conntrack.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import { encodeUtf8 } from "../../net/bytes.ts";
import { type Family, type Ip, ipFromBytes, uniqueIps } from "../../net/ip.ts";
import { whereUsable } from "../firewall/explained.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import type { Site } from "../site.ts";
import type { Removed } from "./iptables-ports.ts";
import { decidingSets, decodePortKey, decodeTarget, targetSetOf } from "./keys.ts";
import { keepLocalhostOut } from "./localhost.ts";
import { isOfLinkless } from "./map-holders.ts";
import { forgetStaleFlows, type UdpFlow } from "./stale-flows.ts";

/** Elements of some attachments: the words all their comments start with, and which of those it is about. */
export interface Labelled {
  words: string;
  isMine(found: FoundElement): boolean;
}

/**
 * Removes the elements of podwire's maps, and what is left of mappings that went, `others` by iptables among them: what
 * UDP flows remember, and what let 127.0.0.1 in; `addresses` are those of the pods as far as they are known otherwise.
 * True where there was anything.
 */
export function removePorts(labelled: Labelled, others: Removed, addresses: readonly Ip[], site: Site): boolean {
  const removed = whereUsable("remove port mappings", (nft) => {
    const mapped = removeMapped(nft, labelled);
    const udp = [...mapped.udp, ...others.udp];
    const pods = uniqueIps([...addresses, ...mapped.pods, ...others.pods]);
    if (udp.length > 0) forgetStaleFlows(pods, udp, { host: site.host, netfilter: nft.socket });
    return { found: mapped.found, pods, linkless: [...mapped.linkless, ...others.linkless] };
  });
  const found = (removed?.found ?? false) || others.found;
  const { linkless } = others;
  if (found) keepLocalhostOut(removed ?? { pods: uniqueIps([...addresses, ...others.pods]), linkless }, site);
  return found;
}

function removeMapped(nft: Nftables, { words, isMine }: Labelled): Removed {
  const mentions = [encodeUtf8(words)];
  const mine = decidingSets.flatMap((set) =>
    nft
      .elements(INET_TABLE, set, mentions)
      .filter(isMine)
      .map((found) => ({ set, key: found.key, isLinkless: isOfLinkless(found) })),
  );
  const targets = mine.map((ref) => ({ ...ref, pod: podOf(nft, ref) }));
  nft.deleteElements(
    mine.flatMap(({ set, key }) => [set, targetSetOf(set)].map((each) => ({ table: INET_TABLE, set: each, key }))),
    isMine,
  );
  return {
    found: mine.length > 0,
    pods: targets.flatMap(({ pod }) => pod ?? []),
    linkless: targets.flatMap(({ pod, isLinkless }) => (isLinkless && pod) || []),
    udp: targets.filter(({ key }) => decodePortKey(key).protocol === IPPROTO_UDP).map(udpFlow),
  };
}

interface Element {
  set: string;
  key: Uint8Array;
}

/** Where an element of a deciding map leads. */
function podOf(nft: Nftables, { set, key }: Element): Ip | undefined {
  const target = nft.findElement({ table: INET_TABLE, set: targetSetOf(set), key })?.data;
  return target && ipFromBytes(decodeTarget(target));
}

function udpFlow({ set, key, pod }: Element & { pod: Ip | undefined }): UdpFlow {
  const { hostPort, address } = decodePortKey(key);
  return { family: familyOfSet(set), hostPort, ...(address && { address: ipFromBytes(address) }), pod };
}

const familyOfSet = (set: string): Family => (set.endsWith("4") ? 4 : 6);

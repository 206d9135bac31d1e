import type { Nftables } from "../../kernel/nftables/nftables.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import { type Family, type Ip, ipFromBytes, uniqueIps } from "../../net/ip.ts";
import type { Owner, PortMapping } from "../attachment.ts";
import { networkLabel, ownerLabel } from "../owner.ts";
import { isLost, isOfAttachment } from "../firewall/elements.ts";
import { COMMENT_BYTES } from "../firewall/label.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import type { Selection } from "../kind.ts";
import { assertGone, type Claim, claimedPorts, portText, type TakeOver, UNKNOWN_LINK } from "./holder.ts";
import {
  decidingMap,
  decidingSets,
  decodePortKey,
  decodeTarget,
  hostAddress,
  portKey,
  protocolNumber,
  targetSetOf,
} from "./keys.ts";
import { portOwners } from "./owners.ts";

// Who holds a host port in podwire's maps: an element names its owner and, in a fourth word, the host's end of the
// pod's link.

const LABEL_BYTES = COMMENT_BYTES - 16;

/** Whose an element is, as its comment begins. */
export const portLabel = (owner: Owner): string => ownerLabel(owner, LABEL_BYTES);
/** And the host's end of the link its packets go by: what proves later that the pod is gone. */
export const portComment = (owner: Owner, hostLink: string | undefined): string =>
  `${portLabel(owner)} ${hostLink ?? UNKNOWN_LINK}`;
/** True for an element of a pod that has no link of the host. */
export const isOfLinkless = ({ comment }: FoundElement): boolean => comment.endsWith(` ${UNKNOWN_LINK}`);
/** The first word of `portComment` for every attachment of the network. */
export const portNetworkLabel = (network: string): string => networkLabel(network, LABEL_BYTES);
/** The owner's own elements, by their comments: container id and interface name are one attachment. */
export const isPortOf = (owner: Owner): ((found: FoundElement) => boolean) => isOfAttachment(portLabel(owner));
/** Elements of attachments that are not valid. */
export const isLostPort = (selection: Selection): ((found: FoundElement) => boolean) => isLost(selection, LABEL_BYTES);

/** Throws, naming the holder, unless the element is the claimant's own or was left behind by a pod that is gone. */
export function assertAvailable(found: FoundElement, port: string, claim: Claim): void {
  if (isPortOf(claim.owner)(found)) return;
  const [network, container, ifname, link = UNKNOWN_LINK] = found.comment.split(" ");
  const who =
    ifname === undefined ? { container: `"${found.comment}"` } : { container: container!, ifname, network: network! };
  assertGone({ ...who, link, place: "nftables table inet podwire" }, port, claim);
}

/**
 * The nftables backend: mappings of others that overlap with a claimed one without having its key, for which the kernel
 * itself refuses a second.
 */
export const takeOverlapping = (nft: Nftables, claim: Claim): TakeOver =>
  take(nft, claim, ({ overlapping }) => overlapping.filter((found) => !isPortOf(claim.owner)(found)));

/** The iptables backend: every element of a claimed port, the claimant's own from before included. */
export const takeFromMaps = (nft: Nftables, claim: Claim): TakeOver =>
  take(nft, claim, ({ family, mapping, overlapping }) => [...withSameKey(nft, family, mapping), ...overlapping]);

/** A claimed port, and the elements that overlap with it without having its key. */
interface Claimed {
  family: Family;
  mapping: PortMapping;
  overlapping: FoundElement[];
}

/** Throws when a live pod holds what `find` finds, else gives what removes all that the holders have. */
function take(nft: Nftables, claim: Claim, find: (claimed: Claimed) => FoundElement[]): TakeOver {
  const taken = claimedPorts(claim).flatMap(({ family, mappings }) => {
    const certain = mappings.every(hostAddress)
      ? []
      : nft.elements(
          INET_TABLE,
          decidingMap(family, { family, value: 1n }),
          mappings.map((mapping) => portKey(mapping)),
        );
    return mappings.flatMap((mapping) => {
      const found = find({ family, mapping, overlapping: overlapping(nft, family, { mapping, certain }) });
      for (const element of found) assertAvailable(element, portText(mapping), claim);
      return found.map(({ comment }) => comment);
    });
  });
  return () => {
    if (taken.length === 0) return [];
    const maps = decidingSets.flatMap((set) => [set, targetSetOf(set)]);
    const sets = [...maps, portOwners.name].map((set) => ({ table: INET_TABLE, set }));
    const former: Ip[] = [];
    nft.deleteFromSets(sets, ({ comment, data }) => {
      const isTaken = taken.includes(comment);
      if (isTaken && data) former.push(ipFromBytes(decodeTarget(data)));
      return isTaken;
    });
    return uniqueIps(former);
  };
}

/** The element with the mapping's own key. */
function withSameKey(nft: Nftables, family: Family, mapping: PortMapping): FoundElement[] {
  const address = hostAddress(mapping);
  return asList(
    nft.findElement({ table: INET_TABLE, set: decidingMap(family, address), key: portKey(mapping, address) }),
  );
}

/** For a certain address the element for any; for any, those for `certain` ones. */
function overlapping(
  nft: Nftables,
  family: Family,
  { mapping, certain }: { mapping: PortMapping; certain: readonly FoundElement[] },
): FoundElement[] {
  if (hostAddress(mapping)) {
    return asList(nft.findElement({ table: INET_TABLE, set: decidingMap(family, undefined), key: portKey(mapping) }));
  }
  return certain.filter(({ key }) => {
    const { protocol, hostPort } = decodePortKey(key);
    return protocol === protocolNumber[mapping.protocol] && hostPort === mapping.hostPort;
  });
}

const asList = (found: FoundElement | undefined): FoundElement[] => (found ? [found] : []);

import { CniError, Code } from "../../cni/error.ts";
import type { ElementRef, FoundElement, Nftables } from "../../kernel/nftables/nftables.ts";
import type { PortMapping, PortMappings, Owner } from "../attachment.ts";
import { networkLabel, ownerLabel } from "../owner.ts";
import { COMMENT_BYTES, startsWithWords } from "./label.ts";
import { INET_TABLE } from "./masquerade.ts";
import { decidingMap, decodePortKey, describePort, hostAddress, mappingsFor, portKey, protocolNumber, targetSetOf } from "./port-maps.ts";
import type { Family, Ip } from "../../net/ip.ts";

/** An element of a mapping names its owner and, in a fourth word, the host's end of the pod's link: "-" where nobody knows it. */
const LABEL_BYTES = COMMENT_BYTES - 16;
const UNKNOWN_LINK = "-";

export const portLabel = (owner: Owner): string => ownerLabel(owner, LABEL_BYTES);
export const portComment = (owner: Owner, hostLink: string | undefined): string => `${portLabel(owner)} ${hostLink ?? UNKNOWN_LINK}`;
export const isPortOfNetwork = (comment: string, network: string): boolean => startsWithWords(comment, networkLabel(network, LABEL_BYTES));

/** Says whether a link of the host exists. */
export type LinkExists = (name: string) => boolean;

/** Throws, naming the holder, unless the element is the owner's own or was left behind by a pod whose link is gone. */
export function assertAvailable(found: FoundElement, owner: Owner, wanted: string, linkExists: LinkExists): void {
  if (startsWithWords(found.comment, portLabel(owner))) return;
  const [network, container, ifname, link] = found.comment.split(" ");
  if (link !== undefined && link !== UNKNOWN_LINK && !linkExists(link)) return;
  const holder = ifname === undefined ? `"${found.comment}"` : `container ${container}, interface ${ifname}, network ${network}`;
  throw new CniError(Code.TryAgainLater, `host port ${wanted} is held by ${holder}`);
}

/**
 * Looks at mappings of others that overlap without having the same key (one for any address of the node, one for a certain
 * address): throws when a live pod has one, and returns those gone pods left.
 */
export function findOverlaps(nft: Nftables, owner: Owner, ports: PortMappings, linkExists: LinkExists): ElementRef[] {
  return ports.addresses.flatMap((pod) =>
    mappingsFor(pod, ports).flatMap((mapping) => {
      const address = hostAddress(mapping);
      const others = overlapping(nft, pod.ip.family, mapping, address).filter(({ found }) => !startsWithWords(found.comment, portLabel(owner)));
      for (const { found } of others) assertAvailable(found, owner, describePort(mapping, address), linkExists);
      return others.flatMap(({ set, found: { key } }) => [{ table: INET_TABLE, set, key }, { table: INET_TABLE, set: targetSetOf(set), key }]);
    }),
  );
}

function overlapping(nft: Nftables, family: Family, mapping: PortMapping, address: Ip | undefined): { set: string; found: FoundElement }[] {
  if (address) {
    const set = decidingMap(family, undefined);
    const found = nft.findElement({ table: INET_TABLE, set, key: portKey(mapping) });
    return found ? [{ set, found }] : [];
  }
  const set = decidingMap(family, { family, value: 1n });
  return nft
    .elements(INET_TABLE, set)
    .filter(({ key }) => {
      const { protocol, hostPort } = decodePortKey(key);
      return protocol === protocolNumber[mapping.protocol] && hostPort === mapping.hostPort;
    })
    .map((found) => ({ set, found }));
}

import { removedMeanwhile } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { type Ip, ipBytes, type Prefix, sameIp } from "../../net/ip.ts";
import { type Address, decodeAddress, getAddresses } from "../../netlink/rtnetlink/address.ts";
import { decodeLink, getLink, getLinkByIndex, getLinks, indexOf, type Link } from "../../netlink/rtnetlink/link.ts";

/** The link of that name in the socket's namespace, or undefined. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  const reply = socket.find(getLink(name));
  return reply && decodeLink(reply);
}

/** As `findLink`, of a link that was just made; CniError 11 where it is gone again. */
export function getMadeLink(socket: NetlinkSocket, name: string): Link {
  const link = findLink(socket, name);
  if (link) return link;
  throw removedMeanwhile(`link ${name}`);
}

/** True while the link of that name is the one with that index. */
export function hasLink(socket: NetlinkSocket, { name, index }: Pick<Link, "name" | "index">): boolean {
  const reply = socket.find(getLink(name));
  return reply !== undefined && indexOf(reply) === index;
}

/**
 * The other end of a veth, where that is in the socket's namespace. Of another kind of link the same attribute names
 * its master, which may be a veth itself, of a node that is a container.
 */
export function findPeer(socket: NetlinkSocket, link: Link | undefined): Link | undefined {
  const reply = link?.kind === "veth" && link.peer ? socket.find(getLinkByIndex(link.peer)) : undefined;
  const peer = reply ? decodeLink(reply) : undefined;
  return peer?.kind === "veth" && peer.peer === link!.index ? peer : undefined;
}

/** What a pod's link is called by: the alias of its end on the host, its own where it has none there. */
export const aliasOf = (host: NetlinkSocket, link: Link): string => (findPeer(host, link) ?? link).alias;

/** Every link of the socket's namespace, or every one of a kind or a master. */
export const listLinks = (socket: NetlinkSocket, of: { kind?: string; master?: number } = {}): Link[] =>
  socket
    .dump(getLinks(of))
    .flatMap((reply) => decodeLink(reply) ?? [])
    .filter(({ kind, master }) => kind === (of.kind ?? kind) && master === (of.master ?? master));

/** Every address of the socket's namespace, with its flags and the link it is on. */
export const listLinkAddresses = (socket: NetlinkSocket): Address[] =>
  socket.dump(getAddresses(0)).flatMap((reply) => decodeAddress(reply) ?? []);

/** The addresses of a link, or of all links of the socket's namespace. */
export const listAddresses = (socket: NetlinkSocket, { index }: Pick<Link, "index"> = { index: 0 }): Prefix[] =>
  socket.dump(getAddresses(index)).flatMap((reply) => decodeAddress(reply)?.prefix ?? []);

/** Those of a link's addresses that are among `wanted`; a pod can have any number of others. */
export function findAddresses(socket: NetlinkSocket, { index }: Pick<Link, "index">, wanted: readonly Ip[]): Prefix[] {
  const found: Prefix[] = [];
  if (wanted.length === 0) return found;
  socket.each(getAddresses(index), wanted.map(ipBytes), (reply) => {
    const prefix = decodeAddress(reply)?.prefix;
    if (prefix && wanted.some((ip) => sameIp(ip, prefix.ip))) found.push(prefix);
  });
  return found;
}

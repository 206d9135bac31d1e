import type { NetlinkSocket } from "../../kernel/netlink.ts";
import type { Prefix } from "../../net/ip.ts";
import { type Address, decodeAddress, getAddresses } from "../../netlink/rtnetlink/address.ts";
import { decodeLink, getLink, getLinkByIndex, getLinks, indexOf, type Link } from "../../netlink/rtnetlink/link.ts";

/** The link of that name in the socket's namespace, or undefined. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  const reply = socket.find(getLink(name));
  return reply && decodeLink(reply);
}

/** The other end of a veth of the pod, where that is on the host. */
export function peerOnHost(host: NetlinkSocket, inside: Link | undefined): Link | undefined {
  const reply = inside?.peer && host.find(getLinkByIndex(inside.peer));
  const peer = reply ? decodeLink(reply) : undefined;
  return peer?.kind === "veth" && peer.peer === inside!.index ? peer : undefined;
}

/** True while the link of that name is the one with that index. */
export function hasLink(socket: NetlinkSocket, { name, index }: Pick<Link, "name" | "index">): boolean {
  const reply = socket.find(getLink(name));
  return reply !== undefined && indexOf(reply) === index;
}

/** Every link of the socket's namespace, or every one of a kind. */
export const listLinks = (socket: NetlinkSocket, kind?: string): Link[] =>
  socket
    .dump(getLinks(kind))
    .flatMap((reply) => decodeLink(reply) ?? [])
    .filter((link) => kind === undefined || link.kind === kind);

/** Every address of the socket's namespace, with its flags and the link it is on. */
export const listLinkAddresses = (socket: NetlinkSocket): Address[] =>
  socket.dump(getAddresses(0)).flatMap((reply) => decodeAddress(reply) ?? []);

/** The addresses of a link, or of all links of the socket's namespace. */
export const listAddresses = (socket: NetlinkSocket, { index }: Pick<Link, "index"> = { index: 0 }): Prefix[] =>
  socket.dump(getAddresses(index)).flatMap((reply) => decodeAddress(reply)?.prefix ?? []);

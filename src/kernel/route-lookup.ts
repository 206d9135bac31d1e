import type { Ip } from "../net/ip.ts";
import { decodeLink, getLink, getLinkByIndex, indexOf } from "../netlink/rtnetlink/link.ts";
import {
  decodeRoutes,
  decodeWay,
  getRouteOf,
  getRouteTo,
  type KernelRoute,
  type Way,
} from "../netlink/rtnetlink/route.ts";
import type { Message, Reply } from "../netlink/message.ts";
import type { NetlinkSocket } from "./netlink.ts";
import { isErrno } from "./system-error.ts";

function findWay(socket: NetlinkSocket, ip: Ip): Way | undefined {
  const reply = lookUp(socket, getRouteTo(ip));
  return reply && decodeWay(reply);
}

function lookUp(socket: NetlinkSocket, message: Message): Reply | undefined {
  try {
    return socket.request([message])[0];
  } catch (error) {
    // no route or one of type unreachable, prohibit, blackhole, throw: each has an errno of its own; and one that has
    // more next hops than a reply holds, which none of podwire's has, and none of the kernel's to what is here
    if (isErrno(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL", "EAGAIN", "EMSGSIZE")) return undefined;
    throw error;
  }
}

/** The route that packets for the address take, once for each of its next hops; none for one with hundreds. */
export function findRoutesOf(socket: NetlinkSocket, ip: Ip): KernelRoute[] {
  const reply = lookUp(socket, getRouteOf(ip));
  return reply ? decodeRoutes(reply) : [];
}

/**
 * True when the namespace, or the VRF of that index in it, takes in what arrives for the address. Asked for the route:
 * for the way of packets the kernel would look at every IPv6 address it has, for one to send from.
 */
export function isLocal(socket: NetlinkSocket, ip: Ip, vrf?: number): boolean {
  const reply = lookUp(socket, getRouteOf(ip, vrf));
  return reply !== undefined && decodeWay(reply).kind === "local";
}

/**
 * Name of the link that packets for the address leave by, undefined when there is no route or it does not lead to a
 * link.
 */
export const findLinkTowards = (socket: NetlinkSocket, ip: Ip): string | undefined =>
  linkOf(socket, findWay(socket, ip));

/** Whether packets for an address leave by a link of that name, for many addresses. */
export function isTowards(socket: NetlinkSocket, link: string): (ip: Ip) => boolean {
  const found = socket.find(getLink(link));
  const index = found && indexOf(found);
  return (ip) => {
    const way = index === undefined ? undefined : findWay(socket, ip);
    return way?.kind === "unicast" && way.index === index;
  };
}

/** As `findLinkTowards`, but undefined also when a gateway is in between. */
export function findLinkBeside(socket: NetlinkSocket, ip: Ip): string | undefined {
  const way = findWay(socket, ip);
  return way?.hasGateway ? undefined : linkOf(socket, way);
}

function linkOf(socket: NetlinkSocket, way: Way | undefined): string | undefined {
  if (way?.kind !== "unicast" || way.index === undefined) return undefined;
  const reply = socket.find(getLinkByIndex(way.index));
  return reply && decodeLink(reply)?.name;
}

import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { decodeLink, getLink, getLinks, type Link } from "../../netlink/rtnetlink/link.ts";

/** The link of that name in the socket's namespace, or undefined. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  const reply = socket.find(getLink(name));
  return reply && decodeLink(reply);
}

/** Every link of the socket's namespace. */
export const listLinks = (socket: NetlinkSocket): Link[] =>
  socket.dump(getLinks()).flatMap((reply) => decodeLink(reply) ?? []);

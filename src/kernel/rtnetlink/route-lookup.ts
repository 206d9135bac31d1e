import { bits, type Ip, ipBytes } from "../../net/ip.ts";
import { isErrno } from "../system-error.ts";
import { type Attributes, attribute, decodeAttributes, decodeText, type Message, type NetlinkSocket, type Reply } from "../netlink.ts";
import { AF } from "./address.ts";

/** linux/rtnetlink.h, linux/if_link.h */
const RTM_GETLINK = 18;
const RTM_GETROUTE = 26;
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, VIA: 18 } as const;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const IFLA_IFNAME = 3;

/** struct rtmsg, the address looked up as `ip route get` does. */
function getRouteTo(ip: Ip): Message {
  const header = Buffer.alloc(12);
  header.writeUInt8(AF[ip.family], 0);
  header.writeUInt8(bits(ip.family), 1);
  return { type: RTM_GETROUTE, flags: 0, data: [header, ...attribute(RTA.DST, ipBytes(ip))], what: "look up a route" };
}

function getLinkByIndex(index: number): Message {
  const header = Buffer.alloc(16); // struct ifinfomsg
  header.writeInt32LE(index, 4);
  return { type: RTM_GETLINK, flags: 0, data: [header], what: `find link ${index}` };
}

function findRouteTo(socket: NetlinkSocket, ip: Ip): Reply | undefined {
  try {
    return socket.request([getRouteTo(ip)])[0];
  } catch (error) {
    // no route or one of type unreachable, prohibit, blackhole, throw: each has an errno of its own
    if (isErrno(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL", "EAGAIN")) return undefined;
    throw error;
  }
}

/** True when the namespace takes in what arrives for the address. */
export const isLocal = (socket: NetlinkSocket, ip: Ip): boolean => findRouteTo(socket, ip)?.data[7] === RTN_LOCAL;

/** Name of the link that packets for the address leave by, undefined when there is no route or it does not lead to a link. */
export const findLinkTowards = (socket: NetlinkSocket, ip: Ip): string | undefined => linkOf(socket, findUnicastRoute(socket, ip));

/** As `findLinkTowards`, but undefined also when a gateway is in between. */
export function findLinkBeside(socket: NetlinkSocket, ip: Ip): string | undefined {
  const route = findUnicastRoute(socket, ip);
  return route?.has(RTA.GATEWAY) || route?.has(RTA.VIA) ? undefined : linkOf(socket, route);
}

function findUnicastRoute(socket: NetlinkSocket, ip: Ip): Attributes | undefined {
  const route = findRouteTo(socket, ip);
  return route?.data[7] === RTN_UNICAST ? decodeAttributes(route.data.subarray(12)) : undefined;
}

function linkOf(socket: NetlinkSocket, route: Attributes | undefined): string | undefined {
  const index = route?.get(RTA.OIF)?.readUInt32LE(0);
  const link = index === undefined ? undefined : socket.find(getLinkByIndex(index));
  const name = link && decodeAttributes(link.data.subarray(16)).get(IFLA_IFNAME);
  return name && decodeText(name);
}

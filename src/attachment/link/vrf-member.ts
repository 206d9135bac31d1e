import { type Address, addAddress, decodeAddress, getAddresses, IFA_F } from "../../netlink/rtnetlink/address.ts";
import { type Link, setLink } from "../../netlink/rtnetlink/link.ts";
import type { Reply } from "../../netlink/message.ts";
import { families, isLinkLocal, samePrefix } from "../../net/ip.ts";
import {
  decodeRoutes,
  getRoutes,
  isChosenAt,
  type KernelRoute,
  moveRoute,
  RT_TABLE_MAIN,
} from "../../netlink/rtnetlink/route.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { addOnce } from "../address/add-once.ts";
import type { PodNamespace } from "../pod-namespace.ts";
import { listAddresses } from "./links.ts";
import { podSide, waitForDelivery, waitForLink } from "./readiness.ts";

/** What a link has that the kernel takes from it where it becomes, or is no longer, a member of a VRF. */
export interface Belongings {
  /** with their tables; those without a gateway first */
  routes: [route: Reply, table: number][];
  addresses: Address[];
}

/** The routes that lead through the link alone and somebody chose, and its own IPv6 addresses; `most` of each. */
export function belongingsOf(link: Link, socket: NetlinkSocket, most = Infinity): Belongings {
  const addresses: Address[] = [];
  const isRoom = (): boolean => addresses.length < most;
  socket.sift(getAddresses(link.index, 6), isRoom, (reply) => {
    const address = decodeAddress(reply);
    if (address && !isLinkLocal(address.prefix.ip)) addresses.push(address);
  });
  return { routes: routesOf(link, socket, most), addresses };
}

/**
 * Makes a link a member of a VRF, or of none, with what is its own: the kernel sets it down and up again, whereby it
 * loses IPv6 addresses and all routes but those that it makes itself. Routes of table `from` come into table `to`.
 */
export function rehome(
  link: Link,
  { vrf = 0, from = RT_TABLE_MAIN, to = RT_TABLE_MAIN }: { vrf?: number; from?: number; to?: number },
  pod: PodNamespace,
  { routes, addresses } = belongingsOf(link, pod.socket),
): void {
  const { socket } = pod;
  socket.request([setLink(link, { master: vrf })]);
  const left = addresses.length > 0 ? listAddresses(socket, link) : [];
  const lost = addresses.filter(({ prefix }) => !left.some((other) => samePrefix(prefix, other)));
  socket.request(
    lost.map(({ prefix, flags }) => addAddress(link, prefix, { noPrefixRoute: (flags & IFA_F.NOPREFIXROUTE) !== 0 })),
  );
  if (link.up && link.operState === "up") waitForLink(podSide({ pod }), link.name);
  waitForDelivery(
    podSide({ pod }),
    addresses.map(({ prefix }) => prefix.ip),
    vrf,
  );
  // an undo finds what was not lost
  const messages = routes.map(([route, table]) => moveRoute(route, table === from ? to : table));
  addOnce(socket, [], messages);
}

function routesOf({ index }: Link, socket: NetlinkSocket, most: number): Belongings["routes"] {
  const own: { reply: Reply; first: KernelRoute }[] = [];
  const isWanted = (datagram: Uint8Array, at: number): boolean => own.length < most && isChosenAt(datagram, at);
  for (const family of families) {
    socket.sift(getRoutes(family, { index }), isWanted, (reply) => {
      const hops = decodeRoutes(reply);
      if (hops.length > 0 && hops.every((hop) => hop.index === index)) own.push({ reply, first: hops[0]! });
    });
  }
  return own
    .toSorted((a, b) => Number(a.first.gw !== undefined) - Number(b.first.gw !== undefined))
    .map(({ reply, first }) => [reply, first.table]);
}

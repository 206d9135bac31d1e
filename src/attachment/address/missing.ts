import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { findRoutesOf } from "../../kernel/route-lookup.ts";
import {
  bits,
  familiesOf,
  type Family,
  formatPrefix,
  networkOf,
  type Prefix,
  sameIp,
  samePrefix,
} from "../../net/ip.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { decodeNeighbour, getNeighbours, neighbourMention, NUD_PERMANENT } from "../../netlink/rtnetlink/neighbour.ts";
import {
  decodeRoutes,
  formatRoute,
  getRoutes,
  isElsewhereAt,
  type KernelRoute,
  lengthAt,
  mentionOf,
  RT_SCOPE,
  RT_TABLE_MAIN,
} from "../../netlink/rtnetlink/route.ts";
import type { LinkAddress, PodPart, Route } from "../attachment.ts";
import type { HostView } from "../host-view.ts";
import { findAddresses } from "../link/links.ts";
import { isSourceTable } from "./source-tables.ts";

/** The addresses a link lacks, in words. */
export const missingAddresses = (socket: NetlinkSocket, link: Link, wanted: Prefix[]): string[] =>
  lackingAddresses(
    socket,
    link,
    wanted.map((prefix) => ({ prefix })),
  ).map(addressWords(link));

const addressWords =
  ({ name }: Link) =>
  ({ prefix }: LinkAddress): string =>
    `address ${formatPrefix(prefix)} is missing on ${name}`;

/** The addresses a link lacks. */
export const lackingAddresses = (socket: NetlinkSocket, link: Link, wanted: readonly LinkAddress[]): LinkAddress[] =>
  addressesNotIn(
    findAddresses(
      socket,
      link,
      wanted.map(({ prefix }) => prefix.ip),
    ),
    wanted,
  );

const addressesNotIn = (present: readonly Prefix[], wanted: readonly LinkAddress[]): LinkAddress[] =>
  wanted.filter(({ prefix }) => !present.some((other) => samePrefix(other, prefix)));

/** As `missingAddresses` and `missingRoutes`, of a link of the host that was read before. */
export const missingInView = (view: HostView, link: Link, addresses: Prefix[], routes: Route[]): string[] => [
  ...addressesNotIn(
    view.addressesOf(link),
    addresses.map((prefix) => ({ prefix })),
  ).map(addressWords(link)),
  ...routesNotIn(
    routes.flatMap(({ dst }) => view.routesTo(dst)),
    link,
    routes,
  ).map(routeWords(link)),
];

/**
 * The routes that do not lead through a link of the host as they are wanted, in words. They are looked up one by one:
 * to list those of a link the kernel steps over all there are.
 */
export function missingRoutes(socket: NetlinkSocket, link: Link, wanted: Route[]): string[] {
  const isFound = (route: Route): boolean =>
    routesNotIn(findRoutesOf(socket, route.dst.ip), link, [route]).length === 0;
  const unseen = wanted.filter((route) => !isFound(route)); // or there is one beside that is preferred
  return unseen.length === 0 ? [] : lackingRoutes(socket, link, unseen).map(routeWords(link));
}

/** As `missingRoutes`, for a link of a pod; those without a table are in `main`, or where sbr has moved them to. */
export const missingInPod = (socket: NetlinkSocket, link: Link, wanted: Route[], main?: number): string[] =>
  lackingInPod(socket, link, wanted, main).map(routeWords(link));

const routeWords =
  ({ name }: Link) =>
  (route: Route): string =>
    `route ${formatRoute(route)} through ${name} is missing`;

/** As `missingRoutes`, the routes themselves: of a host's few lead through the link, a pod can have any number. */
export function lackingRoutes(
  socket: NetlinkSocket,
  link: Link,
  wanted: readonly Route[],
  main: number = RT_TABLE_MAIN,
): Route[] {
  let lacking = [...wanted];
  for (const family of routeFamilies(wanted)) {
    const mentions = wanted
      .filter(({ dst }) => dst.ip.family === family)
      .map((route) => mentionOf({ table: main, ...route }));
    socket.each(getRoutes(family, link), mentions, (reply) => {
      if (lacking.length > 0) lacking = routesNotIn(decodeRoutes(reply), link, lacking, main);
    });
  }
  return lacking;
}

/** The families of routes. */
export const routeFamilies = (routes: readonly Route[]): Family[] => familiesOf(routes.map(({ dst }) => dst.ip));

/** Tables of its own that a source route (sbr) has moved routes of the link into. */
export function sourceTables(socket: NetlinkSocket, link: Link, family: Family): number[] {
  const tables = new Set<number>();
  socket.sift(getRoutes(family, link), isElsewhereAt, (reply) => {
    for (const { index, table } of decodeRoutes(reply)) {
      if (index === link.index && isSourceTable(table)) tables.add(table);
    }
  });
  return [...tables];
}

/** As `lackingRoutes`, for a link of a pod: what is in a table for source routes is there, too. */
export function lackingInPod(socket: NetlinkSocket, link: Link, wanted: Route[], main?: number): Route[] {
  let lacking = lackingRoutes(socket, link, wanted, main);
  for (const family of routeFamilies(lacking)) {
    const lengths = new Set(lacking.filter(({ dst }) => dst.ip.family === family).map(({ dst }) => dst.length));
    const mayServe = (datagram: Uint8Array, at: number): boolean =>
      isElsewhereAt(datagram, at) && lengths.has(lengthAt(datagram, at));
    socket.sift(getRoutes(family, link), mayServe, (reply) => {
      for (const route of lacking.length > 0 ? decodeRoutes(reply) : []) {
        if (isSourceTable(route.table)) lacking = routesNotIn([route], link, lacking, route.table);
      }
    });
  }
  return lacking;
}

const routesNotIn = (
  present: readonly KernelRoute[],
  link: Link,
  wanted: readonly Route[],
  main: number = RT_TABLE_MAIN,
): Route[] => wanted.filter((route) => !present.some((other) => servesAs(other, { table: main, ...route }, link)));

/** The routes the kernel makes of addresses that a link has. */
export const connectedRoutes = (addresses: readonly LinkAddress[]): Route[] =>
  addresses
    .filter(({ prefix, noPrefixRoute }) => !noPrefixRoute && prefix.length < bits(prefix.ip.family))
    .map(({ prefix }) => ({
      dst: networkOf(prefix),
      ...(prefix.ip.family === 4 ? { scope: RT_SCOPE.LINK, src: prefix.ip } : { priority: IP6_RT_PRIO_ADDRCONF }),
    }));

/** linux/ipv6_route.h */
const IP6_RT_PRIO_ADDRCONF = 256;

/** The permanent neighbours a link lacks. */
export function lackingNeighbours(
  socket: NetlinkSocket,
  { index }: Link,
  wanted: PodPart["neighbours"],
): PodPart["neighbours"] {
  if (wanted.length === 0) return [];
  const ofFamilies = familiesOf(wanted.map(({ ip }) => ip));
  const mentions = wanted.map(({ ip }) => neighbourMention(ip));
  const present = ofFamilies
    .flatMap((family) => socket.dump(getNeighbours(family), mentions))
    .flatMap((reply) => decodeNeighbour(reply) ?? []);
  return wanted.filter(
    ({ ip, mac }) =>
      !present.some(
        (other) => other.index === index && other.state === NUD_PERMANENT && other.mac === mac && sameIp(other.ip, ip),
      ),
  );
}

/**
 * In the route's own table, through the link, to the same gateway, with the same numbers; those nobody asked for are
 * the kernel's affair.
 */
function servesAs(route: KernelRoute, wanted: Route & { table: number }, link: Link): boolean {
  return (
    samePrefix(route.dst, wanted.dst) &&
    route.table === wanted.table &&
    route.index === link.index &&
    (wanted.gw ? route.gw !== undefined && sameIp(route.gw, wanted.gw) : route.gw === undefined) &&
    (!wanted.priority || route.priority === wanted.priority) &&
    (!wanted.mtu || route.mtu === wanted.mtu) &&
    (!wanted.advmss || route.advmss === wanted.advmss) &&
    (wanted.scope === undefined || wanted.dst.ip.family === 6 || route.scope === wanted.scope)
  );
}

import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { formatPrefix, type Prefix, sameIp, samePrefix } from "../../net/ip.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import {
  decodeRoutes,
  formatRoute,
  getRoutes,
  type KernelRoute,
  mentionOf,
  RT_TABLE_MAIN,
} from "../../netlink/rtnetlink/route.ts";
import type { Route } from "../attachment.ts";
import { listAddresses } from "../link/links.ts";

/** The addresses a link lacks, in words. */
export function missingAddresses(socket: NetlinkSocket, link: Link, wanted: Prefix[]): string[] {
  if (wanted.length === 0) return [];
  const present = listAddresses(socket, link);
  return wanted
    .filter((prefix) => !present.some((other) => samePrefix(other, prefix)))
    .map((prefix) => `address ${formatPrefix(prefix)} is missing on ${link.name}`);
}

/** The routes that do not lead through a link as they are wanted, in words; those without a table are in `main`. */
export function missingRoutes(
  socket: NetlinkSocket,
  link: Link,
  wanted: Route[],
  main: number = RT_TABLE_MAIN,
): string[] {
  const families = [...new Set(wanted.map(({ dst }) => dst.ip.family))];
  const present = families.flatMap((family) => {
    const mentions = wanted
      .filter(({ dst }) => dst.ip.family === family)
      .map((route) => mentionOf({ table: main, ...route }));
    // of a host's routes few lead through the link; a pod can have as many as it likes
    return socket.dump(getRoutes(family, link), mentions.every((bytes) => bytes !== undefined) ? mentions : undefined);
  });
  const routes = present.flatMap(decodeRoutes);
  return wanted
    .filter((route) => !routes.some((other) => servesAs(other, { table: main, ...route }, link)))
    .map((route) => `route ${formatRoute(route)} through ${link.name} is missing`);
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
    (!wanted.mtu || wanted.mtu < 0 || route.mtu === wanted.mtu) &&
    (!wanted.advmss || wanted.advmss < 0 || route.advmss === wanted.advmss) &&
    (wanted.scope === undefined || wanted.dst.ip.family === 6 || route.scope === wanted.scope)
  );
}

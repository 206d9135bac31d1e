import { findLink } from "../attachment/links.ts";
import { type Liveness, runMarker } from "../ipam/liveness.ts";
import { bootTime } from "../kernel/boot.ts";
import { namespaceCookie } from "../kernel/namespace.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { decodeAddress, getAddresses } from "../netlink/rtnetlink/address.ts";
import { decodeRoute, getRoutes } from "../netlink/rtnetlink/route.ts";
import { bits, formatIp, type Ip } from "../net/ip.ts";

/** What this host says when a lease's pod is judged. Asked only when a range runs short; each list is read once. */
export function hostLiveness(): Liveness {
  let socket: NetlinkSocket | undefined;
  let used: Set<string> | undefined;
  const host = (): NetlinkSocket => (socket ??= NetlinkSocket.open(NETLINK_ROUTE));
  return {
    linkExists: (name) => findLink(host(), name) !== undefined,
    namespaceCookie,
    addressInUse: (ip) => (used ??= addressesOfHost(host())).has(formatIp(ip)),
    bootTime,
    marker: () => runMarker(),
  };
}

/** Addresses of links, and destinations of routes to a single address. */
function addressesOfHost(host: NetlinkSocket): Set<string> {
  const addresses = host.dump(getAddresses(0)).flatMap((reply) => decodeAddress(reply)?.prefix.ip ?? []);
  const routes = ([4, 6] as const).flatMap((family) =>
    host.dump(getRoutes(family)).flatMap((reply) => decodeRoute(reply)?.dst ?? []),
  );
  const single: Ip[] = routes.filter(({ ip, length }) => length === bits(ip.family)).map(({ ip }) => ip);
  return new Set([...addresses, ...single].map(formatIp));
}

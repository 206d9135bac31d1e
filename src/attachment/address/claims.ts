import { CniError, Code } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { findRoutesOf } from "../../kernel/route-lookup.ts";
import { isErrno } from "../../kernel/system-error.ts";
import { formatIp, formatPrefix, hostPrefix, type Ip, isLinkLocal, parseIp, sameIp, samePrefix } from "../../net/ip.ts";
import { decodeLink, getLinkByIndex, type Link } from "../../netlink/rtnetlink/link.ts";
import type { KernelRoute } from "../../netlink/rtnetlink/route.ts";
import type { Progress } from "../kind.ts";
import { findAddresses } from "../link/links.ts";
import { describeOwner, ownerOfAlias } from "../owner.ts";

/** Far away from any node: addresses that are for documentation (RFC 5737, RFC 3849). */
const FAR = { 4: parseIp("203.0.113.1")!, 6: parseIp("2001:db8:ffff::1")! };

/**
 * CniError for an address the host is to lead to the link, or to answer for on it, that is somebody else's: another
 * pod's, one an administrator made a route to, or that of the router the node lives by.
 */
export function assertUnclaimed(
  ips: readonly Ip[],
  link: Pick<Link, "index">,
  host: NetlinkSocket,
  holderOf: Progress["holderOf"],
): void {
  for (const ip of ips) {
    if (isLinkLocal(ip)) continue; // of each link by itself: many a router is fe80::1, as are gateways of pods
    const route = findRoutesOf(host, ip).find(({ index }) => index !== link.index);
    const isOwn = route !== undefined && samePrefix(route.dst, hostPrefix(ip));
    if (!route || (route.gw && !isOwn)) continue; // it is far away
    if (hasAddress(route, ip, host)) continue; // other pods' gateway, which the kernel has not made local yet
    if (isOwn) throw routeTaken(route, host);
    assertNobodys(ip, findLinkOf(route, host), host, holderOf);
  }
}

/** True also where the link went meanwhile, and the route with it. */
function hasAddress({ index }: Pick<KernelRoute, "index">, ip: Ip, host: NetlinkSocket): boolean {
  if (index === undefined) return false;
  try {
    return findAddresses(host, { index }, [ip]).length > 0;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return true;
    throw error;
  }
}

/**
 * An address that is reached on another link: no route says whose it is. The router's is known by the way to what is
 * far, a pod's on a bridge by its lease or record.
 */
function assertNobodys(ip: Ip, link: Link | undefined, host: NetlinkSocket, holderOf: Progress["holderOf"]): void {
  if (findRoutesOf(host, FAR[ip.family]).some(({ gw }) => gw && sameIp(gw, ip))) {
    throw new CniError(
      Code.InvalidConfig,
      `${formatIp(ip)} is the router of this node, on link ${link?.name}: it can be neither a container's address ` +
        "nor its gateway",
    );
  }
  // the latter is the interface of a VLAN of a bridge
  const isOfPods = link?.kind === "bridge" || (link?.kind === "veth" && link.name.includes("."));
  const holder = isOfPods ? holderOf?.(ip) : undefined;
  if (holder) throw new CniError(Code.TryAgainLater, `${formatIp(ip)} is the address of ${describeOwner(holder)}`);
}

const findLinkOf = ({ index }: Pick<KernelRoute, "index">, host: NetlinkSocket): Link | undefined => {
  const reply = index === undefined ? undefined : host.find(getLinkByIndex(index));
  return reply && decodeLink(reply);
};

/** What a route that is there already is to who wants one to the same address. */
export function routeTaken(route: Pick<KernelRoute, "dst" | "index">, host: NetlinkSocket, cause?: Error): CniError {
  const holder = findLinkOf(route, host);
  const owner = ownerOfAlias(holder?.alias ?? "");
  return new CniError(
    Code.TryAgainLater,
    `the node has a route to ${formatPrefix(route.dst)} already: ` +
      (owner
        ? `the address is that of ${describeOwner(owner)}`
        : `it leads to ${holder ? `link ${holder.name}, which is none of podwire's` : "no link"}`),
    "",
    { cause },
  );
}

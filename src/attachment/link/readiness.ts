import { CniError, Code, removedMeanwhile } from "../../cni/error.ts";
import { monotonicMs } from "../../kernel/clock.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../kernel/netlink.ts";
import { decodeAddress, getAddresses, IFA_F, RTNLGRP_IPV6_IFADDR } from "../../netlink/rtnetlink/address.ts";
import { decodeLink, RTNLGRP_LINK } from "../../netlink/rtnetlink/link.ts";
import { RTNLGRP_IPV6_ROUTE } from "../../netlink/rtnetlink/route.ts";
import { isLocal } from "../../kernel/route-lookup.ts";
import { formatIp, type Ip, isLinkLocal } from "../../net/ip.ts";
import { findLink } from "./links.ts";
import type { PodNamespace } from "../pod-namespace.ts";
import type { Site } from "../site.ts";

/** A veth is up within microseconds of both ends; one that is not after this long never will be. */
const LINK_DEADLINE_MS = 5_000;
/** Microseconds, too, unless the machine is very busy; rules of somebody else's may hide that it happened. */
const DELIVERY_DEADLINE_MS = 1_000;
/** Duplicate address detection takes one to two seconds with the kernel's defaults. */
const DAD_DEADLINE_MS = 10_000;

/** A namespace to wait in: a socket to ask, and a way to open another one to listen with. */
export interface Side {
  socket: NetlinkSocket;
  open(): NetlinkSocket;
}

/** Either end's socket, and how to open another one there to wait with. */
export const hostSide = ({ host }: Site): Side => ({ socket: host, open: openRoute });
export const podSide = ({ pod }: Pick<Site, "pod">): Side => ({ socket: pod.socket, open: () => pod.enter(openRoute) });

const openRoute = (): NetlinkSocket => NetlinkSocket.open(NETLINK_ROUTE);

/**
 * Returns once the link's operational state is up; CniError 11 when that does not happen. A kernel worker has to see
 * its carrier first: until then what is sent through it is dropped, a bridge does not forward to it, and IPv6
 * multicast, with it every neighbour solicitation, is not taken in. That is done at once but where both ends of a pair
 * have the same index (a worker takes that for an ordinary device, whose events may wait a second); asking for the link
 * hurries newer kernels.
 */
export function waitForLink({ socket, open }: Side, name: string): void {
  if (findLink(socket, name)?.operState === "up") return;
  const up = awaitEvent(open(), RTNLGRP_LINK, LINK_DEADLINE_MS, (event) => {
    const told = event && decodeLink(event);
    if (event && told?.name !== name) return false;
    if (told?.operState === "up") return true;
    const link = findLink(socket, name);
    if (!link) throw removedMeanwhile(`link ${name}`);
    return link.operState === "up";
  });
  if (!up) {
    throw new CniError(
      Code.TryAgainLater,
      `link ${name} did not come up within ${LINK_DEADLINE_MS} ms: ` +
        `its state is ${findLink(socket, name)?.operState ?? "gone"}`,
    );
  }
}

/**
 * Returns once what arrives for these addresses is taken in, or after a while in any case. The kernel says yes to an
 * IPv6 address before a worker (addrconf_dad_work) gave it its local route and multicast group: what arrives before is
 * lost, and a neighbour that asks in vain asks again only after a second. A link in a VRF has its addresses there.
 */
export function waitForDelivery({ socket, open }: Side, ips: readonly Ip[], vrf?: number): void {
  const pending = (): boolean => ips.some((ip) => ip.family === 6 && !isLinkLocal(ip) && !isLocal(socket, ip, vrf));
  if (pending()) awaitEvent(open(), RTNLGRP_IPV6_ROUTE, DELIVERY_DEADLINE_MS, () => !pending());
}

/**
 * Returns once no IPv6 address of the pod's link is tentative; throws when one was found to be in use by another node.
 */
export function waitForAddresses(pod: PodNamespace, link: { index: number; name: string }): void {
  const pending = (): boolean => {
    const addresses = pod.socket.dump(getAddresses(link.index)).flatMap((reply) => decodeAddress(reply) ?? []);
    const failed = addresses.find(({ flags }) => flags & IFA_F.DADFAILED);
    if (failed) {
      throw new CniError(
        Code.Internal,
        `address ${formatIp(failed.prefix.ip)} is in use by another node on the link: ` +
          `duplicate address detection failed on ${link.name}`,
      );
    }
    return addresses.some(({ flags }) => flags & IFA_F.TENTATIVE);
  };
  if (!pending()) return;
  const monitor = pod.enter(openRoute);
  if (!awaitEvent(monitor, RTNLGRP_IPV6_IFADDR, DAD_DEADLINE_MS, () => !pending())) {
    throw new CniError(
      Code.TryAgainLater,
      `duplicate address detection on ${link.name} did not end within ${DAD_DEADLINE_MS} ms`,
    );
  }
}

/**
 * Joins a multicast group, asks `done` once without an event (it may have happened before) and then at every event;
 * false at the deadline.
 */
function awaitEvent(
  monitor: NetlinkSocket,
  group: number,
  deadlineMs: number,
  done: (event?: Parameters<typeof decodeLink>[0]) => boolean,
): boolean {
  try {
    monitor.join(group);
    if (done()) return true;
    const deadline = monotonicMs() + deadlineMs;
    for (let left = deadlineMs; left > 0; left = deadline - monotonicMs()) {
      if (monitor.receive(Math.ceil(left))?.some((event) => done(event))) return true;
    }
    return false;
  } finally {
    monitor.close();
  }
}

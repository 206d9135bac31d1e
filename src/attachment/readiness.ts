import { CniError, Code } from "../cni/error.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { decodeAddress, getAddresses, IFA_F, RTNLGRP_IPV6_IFADDR } from "../kernel/rtnetlink/address.ts";
import { decodeLink, RTNLGRP_LINK } from "../kernel/rtnetlink/link.ts";
import { formatIp } from "../net/ip.ts";
import { findLink } from "./links.ts";
import type { PodNamespace } from "./pod-namespace.ts";

/** A veth is up within microseconds of both ends; a port that is not after this long never will be. */
const PORT_DEADLINE_MS = 5_000;
/** Duplicate address detection takes one to two seconds with the kernel's defaults. */
const DAD_DEADLINE_MS = 10_000;

/** Returns once the bridge port's carrier is up and the bridge forwards through it; CniError 11 when that does not happen. */
export function waitForPort(host: NetlinkSocket, name: string): void {
  if (findLink(host, name)?.operState === "up") return;
  const up = awaitEvent(NetlinkSocket.open(NETLINK_ROUTE), RTNLGRP_LINK, PORT_DEADLINE_MS, (event) => {
    const link = event ? decodeLink(event) : findLink(host, name);
    return link?.name === name && link.operState === "up";
  });
  if (!up) throw new CniError(Code.TryAgainLater, `bridge port ${name} did not come up within ${PORT_DEADLINE_MS} ms: its state is ${findLink(host, name)?.operState ?? "gone"}`);
}

/** Returns once no IPv6 address of the pod's link is tentative; throws when one was found to be in use by another node. */
export function waitForAddresses(pod: PodNamespace, link: { index: number; name: string }): void {
  const pending = (): boolean => {
    const addresses = pod.socket.dump(getAddresses(link.index)).flatMap((reply) => decodeAddress(reply) ?? []);
    const failed = addresses.find(({ flags }) => flags & IFA_F.DADFAILED);
    if (failed) throw new CniError(Code.Internal, `address ${formatIp(failed.prefix.ip)} is in use by another node on the link: duplicate address detection failed on ${link.name}`);
    return addresses.some(({ flags }) => flags & IFA_F.TENTATIVE);
  };
  if (!pending()) return;
  const monitor = pod.enter(() => NetlinkSocket.open(NETLINK_ROUTE));
  if (!awaitEvent(monitor, RTNLGRP_IPV6_IFADDR, DAD_DEADLINE_MS, () => !pending())) {
    throw new CniError(Code.TryAgainLater, `duplicate address detection on ${link.name} did not end within ${DAD_DEADLINE_MS} ms`);
  }
}

/** Joins a multicast group, asks `done` once without an event (it may have happened before) and then at every event; false at the deadline. */
function awaitEvent(monitor: NetlinkSocket, group: number, deadlineMs: number, done: (event?: Parameters<typeof decodeLink>[0]) => boolean): boolean {
  try {
    monitor.join(group);
    if (done()) return true;
    const deadline = performance.now() + deadlineMs;
    for (let left = deadlineMs; left > 0; left = deadline - performance.now()) {
      if (monitor.receive(Math.ceil(left))?.some((event) => done(event))) return true;
    }
    return false;
  } finally {
    monitor.close();
  }
}

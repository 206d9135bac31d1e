import type { PodNamespace } from "../attachment/pod-namespace.ts";
import { monotonicMs } from "../kernel/clock.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { families, type Ip, sameIp } from "../net/ip.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import {
  askNeighbour,
  decodeNeighbour,
  getNeighbours,
  type Neighbour,
  NUD,
  RTNLGRP_NEIGH,
} from "../netlink/rtnetlink/neighbour.ts";

/** The neighbour tables of a namespace. */
export const readNeighbours = (socket: NetlinkSocket): Neighbour[] =>
  families.flatMap((family) => socket.dump(getNeighbours(family))).flatMap((reply) => decodeNeighbour(reply) ?? []);

/** A gateway on this node answers within microseconds; the kernel asks again after a second. */
const DEADLINE_MS = 1_500;

/** mcast_solicit: it asks three times, once a second. */
const FAILING_MS = 3_000;

/**
 * Has the pod ask for those of the addresses whose MAC it does not know, as a packet to them would, and returns the
 * tables once all have answered, or after a while.
 */
export function askNeighbours(
  pod: PodNamespace,
  link: Link,
  ips: readonly Ip[],
  deadlineMs: number = DEADLINE_MS,
): Neighbour[] {
  const { socket } = pod;
  const entryOf = (table: readonly Neighbour[], ip: Ip): Neighbour | undefined =>
    table.find((each) => each.index === link.index && sameIp(each.ip, ip));
  const isKnown = (table: readonly Neighbour[], ip: Ip): boolean => Boolean(entryOf(table, ip)?.mac);
  const before = readNeighbours(socket);
  const unknown = ips.filter((ip) => !isKnown(before, ip));
  if (unknown.length === 0) return before;
  // somebody asks already, when things may have been otherwise: the kernel does not ask anew until that has failed
  let again = unknown.filter((ip) => ((entryOf(before, ip)?.state ?? 0) & NUD.INCOMPLETE) !== 0);
  const monitor = pod.enter(() => NetlinkSocket.open(NETLINK_ROUTE));
  try {
    monitor.join(RTNLGRP_NEIGH);
    socket.request(unknown.map((ip) => askNeighbour(link, ip)));
    const deadline = monotonicMs() + deadlineMs + (again.length > 0 ? FAILING_MS : 0);
    for (;;) {
      const now = readNeighbours(socket);
      const failed = again.filter((ip) => ((entryOf(now, ip)?.state ?? 0) & NUD.FAILED) !== 0);
      if (failed.length > 0) socket.request(failed.map((ip) => askNeighbour(link, ip)));
      again = again.filter((ip) => !failed.includes(ip));
      const left = deadline - monotonicMs();
      if (left <= 0 || unknown.every((ip) => isKnown(now, ip))) return now;
      monitor.receive(Math.ceil(left));
    }
  } finally {
    monitor.close();
  }
}

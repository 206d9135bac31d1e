import { findLink, listAddresses } from "../attachment/link/links.ts";
import { bootTime } from "../kernel/boot.ts";
import { ensureDirectory, findText, removeFile, writeFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { namespaceCookie } from "../kernel/namespace.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { randomUuid } from "../kernel/random.ts";
import { decodeRoute, getRoutes } from "../netlink/rtnetlink/route.ts";
import { bits, families, formatIp, type Ip } from "../net/ip.ts";
import type { AttachmentRecord } from "./record.ts";

/** What the judgement whether a pod still exists asks of the machine. */
export interface Liveness {
  /** a link of the host has this name */
  linkExists(name: string): boolean;
  /** SO_NETNS_COOKIE of the namespace at a path; undefined where there is none, or the kernel has no cookies */
  namespaceCookie(path: string): bigint | undefined;
  /** a link or route of the host carries this very address */
  addressInUse(ip: Ip): boolean;
  /** when the machine was started at the earliest, in nanoseconds since 1970 */
  bootTime(): bigint;
  /**
   * text of the marker that dies with the boot, or the restart of the container the node runs in; "" when there can be
   * none
   */
  marker(): string;
}

/** "gone": provably; "unknown": no proof of either. */
export type Life = "live" | "gone" | "unknown";

/**
 * Whether the pod a record is of still exists; a live host link always protects it, and so does, where the pod's link
 * has no end on the host, the namespace it is in.
 */
export function lifeOf(record: AttachmentRecord, liveness: Liveness): Life {
  const { hostVeth, cookie } = record.knowledge!;
  if (hostVeth !== undefined && liveness.linkExists(hostVeth)) return "live";
  if (hasLeft(record, liveness)) return "gone";
  return hostVeth === undefined && cookie !== undefined ? "live" : "unknown";
}

/**
 * True when the pod's namespace is provably not the one at its path any more. Inode numbers are used again at once,
 * cookies never.
 */
export const hasLeft = ({ knowledge, marker }: AttachmentRecord, liveness: Liveness): boolean =>
  (knowledge?.cookie !== undefined && liveness.namespaceCookie(knowledge.netns) !== knowledge.cookie) ||
  (marker !== "" && liveness.marker() !== "" && marker !== liveness.marker());

/** Whether the namespace at a path is the one whose cookie was noted. */
export function namespaceState(path: string, noted: bigint, liveness: Liveness): "own" | "other" | "missing" {
  const cookie = liveness.namespaceCookie(path);
  return cookie === undefined ? "missing" : cookie === noted ? "own" : "other";
}

/** What this host says when a lease's pod is judged. Asked only when a range runs short; each list is read once. */
export function hostLiveness(): Liveness {
  let socket: NetlinkSocket | undefined;
  let used: Set<string> | undefined;
  const host = (): NetlinkSocket => (socket ??= NetlinkSocket.open(NETLINK_ROUTE));
  return {
    linkExists: (name) => findLink(host(), name) !== undefined,
    namespaceCookie,
    addressInUse: (ip) => (used ??= addressesOfHost(host())).has(formatIp(ip)),
    bootTime: earliestBoot,
    marker: () => runMarker(),
  };
}

/**
 * When the machine was started, by the clock of today or that of then: one that was wrong and has been set since, as on
 * a node without a battery, would have whatever was made in between be older than the boot. /run comes with the boot.
 */
function earliestBoot(): bigint {
  const [byClock, byRun] = [bootTime(), linux.birthOf("/run")];
  return byRun > 0n && byRun < byClock ? byRun : byClock;
}

/** Addresses of links, and destinations of routes to a single address. */
function addressesOfHost(host: NetlinkSocket): Set<string> {
  const addresses = listAddresses(host).map(({ ip }) => ip);
  const routes = families.flatMap((family) =>
    host.dump(getRoutes(family)).flatMap((reply) => decodeRoute(reply)?.dst ?? []),
  );
  const single: Ip[] = routes.filter(({ ip, length }) => length === bits(ip.family)).map(({ ip }) => ip);
  return new Set([...addresses, ...single].map(formatIp));
}

const MARKER_FOLDER = "/run/podwire";

/**
 * The text of the marker in /run, made when it is missing: /run is empty after a boot, and after a restart of the
 * container that a kind node is. "" when it cannot be made.
 */
export function runMarker(directory = MARKER_FOLDER): string {
  const path = `${directory}/marker`;
  const found = findText(path);
  if (found) return found;
  const draft = `${directory}/.marker-${randomUuid()}`;
  try {
    ensureDirectory(directory);
    writeFile(draft, randomUuid(), 0o600);
    linux.link(draft, path); // of several processes one wins, and all read the same
  } catch (error) {
    if (!(error instanceof linux.SystemError)) throw error;
  }
  removeFile(draft);
  return findText(path) ?? "";
}

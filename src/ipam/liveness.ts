import { ensureDirectory, findStat, findText, removeFile, writeFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { randomUuid } from "../kernel/random.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { readLease } from "./folder.ts";
import { findRecord, type LeaseRecord } from "./knowledge.ts";
import { type Holder, type LeaseFolder, leasePath } from "./lease-folder.ts";

/** What the judgement whether a pod still exists asks of the machine. */
export interface Liveness {
  /** a link of the host has this name */
  linkExists(name: string): boolean;
  /** SO_NETNS_COOKIE of the namespace at a path; undefined where there is none, or the kernel has no cookies */
  namespaceCookie(path: string): bigint | undefined;
  /** a link or route of the host carries this very address */
  addressInUse(ip: Ip): boolean;
  /** when the machine was started, in nanoseconds since 1970 */
  bootTime(): bigint;
  /**
   * text of the marker that dies with the boot, or the restart of the container the node runs in; "" when there can be
   * none
   */
  marker(): string;
}

/** "gone": provably; "unknown": no proof of either; "torn": the file is no readable lease, which blocks its address. */
export type LeaseState = "live" | "gone" | "unknown" | "torn";

export interface Lease {
  ip: Ip;
  holder?: Holder;
  /** when the lease was made, in nanoseconds since 1970 */
  modified: bigint;
  state: LeaseState;
  /** its pod's namespace is no longer at its path, which alone proves nothing: a host veth may live */
  namespaceGone: boolean;
}

/** The lease file of an address, judged; undefined when there is none. */
export function judgeLease(folder: LeaseFolder, ip: Ip, liveness: Liveness): Lease | undefined {
  const holder = readLease(folder, ip);
  const modified = findStat(leasePath(folder, ip))?.mtime;
  if (holder === undefined || modified === undefined) return undefined;
  if (holder === "torn") return { ip, modified, state: "torn", namespaceGone: false };
  const record =
    holder.ifname === undefined
      ? undefined
      : findRecord(folder, { containerId: holder.containerId, ifname: holder.ifname });
  const known = record?.knowledge && record.ips.some((own) => formatIp(own) === formatIp(ip)) ? record : undefined;
  const namespaceGone = known !== undefined && hasLeft(known, liveness);
  const state = known ? judgeKnown(known, namespaceGone, liveness) : judgeUnknown(ip, modified, liveness);
  return { ip, holder, modified, state, namespaceGone };
}

/**
 * True when the pod's namespace is provably not the one at its path any more. Inode numbers are used again at once,
 * cookies never.
 */
const hasLeft = ({ knowledge, marker }: LeaseRecord, liveness: Liveness): boolean =>
  (knowledge?.cookie !== undefined && liveness.namespaceCookie(knowledge.netns) !== knowledge.cookie) ||
  (marker !== "" && liveness.marker() !== "" && marker !== liveness.marker());

function judgeKnown({ knowledge }: LeaseRecord, namespaceGone: boolean, liveness: Liveness): LeaseState {
  if (liveness.linkExists(knowledge!.hostVeth)) return "live";
  return namespaceGone ? "gone" : "unknown";
}

/** A lease of the reference, or for a main plugin podwire knows nothing about. */
function judgeUnknown(ip: Ip, modified: bigint, liveness: Liveness): LeaseState {
  if (liveness.addressInUse(ip)) return "live";
  return modified < liveness.bootTime() ? "gone" : "unknown";
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

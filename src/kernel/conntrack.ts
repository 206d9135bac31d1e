import {
  decodeEntry,
  deleteEntries,
  deleteEntry,
  type Entry,
  fits,
  type FlowKind,
  type FlowPattern,
  listEntries,
} from "../netlink/conntrack.ts";
import { ipBytes } from "../net/ip.ts";
import type { NetlinkSocket } from "./netlink.ts";
import { isErrno } from "./system-error.ts";

/**
 * A list takes the kernel, which locks each of its 262,144 buckets, as long (12 ms) as deleting by this many patterns.
 */
const PATTERNS_PER_LIST = 40;

/**
 * Makes the kernel forget the flows that fit one of the patterns, none of which is empty; a kernel without connection
 * tracking has none.
 */
export function forgetFlows(socket: NetlinkSocket, kind: FlowKind, patterns: readonly FlowPattern[]): void {
  // Linux (6.18 at least) takes an IPv6 address in a filter for all addresses but that one
  if (kind.family === 4 && patterns.length <= PATTERNS_PER_LIST && deleteFlows(socket, kind, patterns)) return;
  const mentions = patterns.flatMap(({ source, destination, answering }) =>
    [source, destination, answering].flatMap((ip) => (ip ? [ipBytes(ip)] : [])),
  );
  const found = listFlows(socket, kind, mentions).filter((entry) => patterns.some((pattern) => fits(entry, pattern)));
  for (let at = 0; at < found.length; at += TOGETHER) forget(socket, found.slice(at, at + TOGETHER));
}

/** So many flows are forgotten by one request. */
const TOGETHER = 200;

/** False where the kernel cannot delete by a filter. */
function deleteFlows(socket: NetlinkSocket, kind: FlowKind, patterns: readonly FlowPattern[]): boolean {
  try {
    socket.request(patterns.map((pattern) => deleteEntries(kind, pattern)));
    return true;
  } catch (error) {
    if (isErrno(error, ...UNSUPPORTED)) return false;
    throw error;
  }
}

const UNSUPPORTED = ["EINVAL", "EOPNOTSUPP", "EPROTONOSUPPORT"];

/** Those with one of the addresses: a pod can make as many flows as the kernel remembers. */
function listFlows(socket: NetlinkSocket, kind: FlowKind, mentions: readonly Uint8Array[]): Entry[] {
  try {
    return socket.dump(listEntries(kind), mentions).flatMap((reply) => decodeEntry(reply, kind) ?? []);
  } catch (error) {
    if (isErrno(error, ...UNSUPPORTED)) return []; // no ctnetlink in this kernel
    throw error;
  }
}

/** One that ended in between is forgotten already. */
function forget(socket: NetlinkSocket, entries: readonly Entry[]): void {
  try {
    socket.request(entries.map(deleteEntry));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

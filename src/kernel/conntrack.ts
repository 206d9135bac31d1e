import {
  decodeEntry,
  deleteEntries,
  deleteEntry,
  type Entry,
  fits,
  type FlowKind,
  type FlowPattern,
  listEntries,
  mentionOf,
} from "../netlink/conntrack.ts";
import { encodeHex } from "../net/bytes.ts";
import { type Ip, ipBytes } from "../net/ip.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "./netlink.ts";
import { isErrno } from "./system-error.ts";

/**
 * A list takes the kernel, which locks each of its 262,144 buckets, as long (12 ms) as deleting by this many patterns.
 */
const PATTERNS_PER_LIST = 40;

/** Which flows of a kind: those that fit a pattern, none of which is empty, and those to ports of the node itself. */
export interface Wanted {
  patterns: readonly FlowPattern[];
  ports: readonly number[];
  own: OwnAddresses;
}

/** The node's own addresses, of which there can be thousands. */
export interface OwnAddresses {
  /** undefined where there are more: no more are read then */
  atMost(count: number): readonly Ip[] | undefined;
  /** by their bytes in hex; read where a flow asks for it */
  all(): ReadonlyMap<string, Ip>;
}

/** Makes the kernel forget flows; a kernel without connection tracking has none. */
export function forgetFlows(socket: NetlinkSocket, kind: FlowKind, wanted: Wanted): void {
  // Linux (6.18 at least) takes an IPv6 address in a filter for all addresses but that one
  const few = kind.family === 4 ? fewPatterns(wanted) : undefined;
  if (few && deleteFlows(socket, kind, few)) return;
  const deleting = NetlinkSocket.open(NETLINK_NETFILTER);
  try {
    forgetListed(socket, kind, wanted, deleting);
  } finally {
    deleting.close();
  }
}

/** All that is wanted as patterns, undefined where a list takes less. */
function fewPatterns({ patterns, ports, own }: Wanted): FlowPattern[] | undefined {
  const left = PATTERNS_PER_LIST - patterns.length;
  if (left < ports.length) return undefined;
  const addresses = ports.length > 0 ? own.atMost(Math.floor(left / ports.length)) : [];
  if (!addresses) return undefined;
  const ofPorts = ports.flatMap((destinationPort) =>
    addresses.map((destination): FlowPattern => ({ destination, destinationPort })),
  );
  return [...patterns, ...ofPorts];
}

/**
 * Passes over the list as bytes and forgets as it goes, by a socket of its own: a pod can make as many flows as the
 * kernel remembers, and none is kept.
 */
function forgetListed(
  socket: NetlinkSocket,
  kind: FlowKind,
  { patterns, ports, own }: Wanted,
  deleting: NetlinkSocket,
): void {
  const all = [...patterns, ...ports.map((destinationPort) => ({ destinationPort }))];
  let known: ReadonlyMap<string, Ip> | undefined;
  const isOwn = (ip: Ip): boolean => (known ??= own.all()).has(encodeHex(ipBytes(ip)));
  const isWanted = (entry: Entry): boolean =>
    patterns.some((pattern) => fits(entry, pattern)) || isOwn(entry.destination);
  const found: Entry[] = [];
  const forgetFound = (): void => forget(deleting, found.splice(0));
  scanFitting(socket, kind, all, (entry) => {
    if (isWanted(entry)) found.push(entry);
    if (found.length === TOGETHER) forgetFound();
  });
  forgetFound();
}

/** Gives each flow that fits one of the patterns, none of which is empty, as the kernel lists it. */
export function scanFitting(
  socket: NetlinkSocket,
  kind: FlowKind,
  patterns: readonly FlowPattern[],
  take: (entry: Entry) => void,
): void {
  const mentions = new Map(patterns.flatMap(mentionOf).map((bytes) => [bytes.join(), bytes]));
  let isListed = false;
  try {
    // ctnetlink flags no dump as interrupted: what comes meanwhile is of a mapping that is in force
    socket.scan(listEntries(kind), [...mentions.values()], (reply) => {
      isListed = true;
      const entry = decodeEntry(reply, kind);
      if (entry && patterns.some((pattern) => fits(entry, pattern))) take(entry);
    });
  } catch (error) {
    if (isListed || !isErrno(error, ...UNSUPPORTED)) throw error; // no ctnetlink in this kernel
  }
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

/** One that ended in between is forgotten already. */
function forget(socket: NetlinkSocket, entries: readonly Entry[]): void {
  try {
    socket.request(entries.map(deleteEntry));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

import { type Family, type Ip, ipBytes, ipFromBytes, sameIp } from "../net/ip.ts";
import { isErrno } from "./libc.ts";
import { attribute, be16, be32, decodeAttributes, type Message, nested, type NetlinkSocket, NLM_F, type Reply, u8 } from "./netlink.ts";
import { AF } from "./rtnetlink/address.ts";

/** linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h */
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12, ZONE: 18, FILTER: 25 } as const;
const CTA_TUPLE = { IP: 1, PROTO: 2 } as const;
const CTA_IP = { V4_SRC: 1, V4_DST: 2, V6_SRC: 3, V6_DST: 4 } as const;
const CTA_PROTO = { NUM: 1, DST_PORT: 3 } as const;
const CTA_FILTER = { ORIG_FLAGS: 1, REPLY_FLAGS: 2 } as const;
/** include/net/netfilter/nf_conntrack_core.h: what a filter compares. */
const CTA_FILTER_F = { IP_SRC: 1 << 0, IP_DST: 1 << 1, PROTO_NUM: 1 << 3, PROTO_DST_PORT: 1 << 5 } as const;
/** linux/netfilter/nfnetlink.h: without it a deletion is for every family. */
const NFNETLINK_V1 = 1;
/** linux/in.h */
export const IPPROTO_UDP = 17;

/** A connection the kernel remembers: as its first packet was, and where the answers come from. */
interface Flow {
  source: Ip;
  destination: Ip;
  destinationPort: number;
  /** differs from `destination` where the connection was redirected */
  answering: Ip;
}
/** The flows that have all of these. */
export type FlowPattern = Partial<Flow>;
/** Which flows it is about, whatever else is said of them. */
export interface FlowKind {
  family: Family;
  protocol: number;
}

interface Entry extends Flow {
  family: Family;
  original: Buffer;
  id: Buffer | undefined;
  zone: Buffer | undefined;
}

const message = (type: number, family: Family, data: Uint8Array[], what: string): Message => ({
  type: (NFNL_SUBSYS_CTNETLINK << 8) | type,
  flags: 0,
  data: [Buffer.from([AF[family], NFNETLINK_V1, 0, 0]), ...data],
  what,
});

/** Protocol, addresses and port of one direction as a filter has them, and the flags that say which those are. */
function direction({ protocol, family }: FlowKind, { source, destination, destinationPort }: FlowPattern): { tuple: Uint8Array[]; flags: number } {
  const [src, dst] = family === 4 ? [CTA_IP.V4_SRC, CTA_IP.V4_DST] : [CTA_IP.V6_SRC, CTA_IP.V6_DST];
  const ip = [...(source ? attribute(src, ipBytes(source)) : []), ...(destination ? attribute(dst, ipBytes(destination)) : [])];
  const port = destinationPort === undefined ? [] : be16(CTA_PROTO.DST_PORT, destinationPort);
  return {
    tuple: [...(ip.length > 0 ? nested(CTA_TUPLE.IP, ip) : []), ...nested(CTA_TUPLE.PROTO, u8(CTA_PROTO.NUM, protocol), port)],
    flags: (source ? CTA_FILTER_F.IP_SRC : 0) | (destination ? CTA_FILTER_F.IP_DST : 0) | CTA_FILTER_F.PROTO_NUM | (port.length > 0 ? CTA_FILTER_F.PROTO_DST_PORT : 0),
  };
}

function filtered(kind: FlowKind, pattern: FlowPattern): Uint8Array[] {
  const there = direction(kind, pattern);
  const back = pattern.answering && direction(kind, { source: pattern.answering });
  return [
    ...nested(CTA.TUPLE_ORIG, there.tuple),
    ...(back ? nested(CTA.TUPLE_REPLY, back.tuple) : []),
    ...nested(CTA.FILTER, hostWord(CTA_FILTER.ORIG_FLAGS, there.flags), hostWord(CTA_FILTER.REPLY_FLAGS, back?.flags ?? 0)),
  ];
}

/** A kernel before 5.8 ignores the filter and lists other protocols too. */
const listEntries = (kind: FlowKind): Message => message(IPCTNL_MSG_CT_GET, kind.family, filtered(kind, {}), "list connections");

/** A kernel that deletes by no filter takes the tuple for a whole one, which it is not: EINVAL, and nothing is lost. */
const deleteEntries = (kind: FlowKind, pattern: FlowPattern): Message => message(IPCTNL_MSG_CT_DELETE, kind.family, filtered(kind, pattern), "forget connections");

/** The filter's flags are in host byte order, unlike the rest of nfnetlink. */
const hostWord = (type: number, value: number): Uint8Array[] => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return attribute(type, bytes);
};

const deleteEntry = ({ family, original, id, zone }: Entry): Message =>
  message(
    IPCTNL_MSG_CT_DELETE,
    family,
    [...nested(CTA.TUPLE_ORIG, original), ...(id ? be32(CTA.ID, id.readUInt32BE(0)) : []), ...(zone ? be16(CTA.ZONE, zone.readUInt16BE(0)) : [])],
    "forget a connection",
  );

function decodeEntry(reply: Reply, { family, protocol }: FlowKind): Entry | undefined {
  const entry = decodeAttributes(reply.data.subarray(4));
  const original = entry.get(CTA.TUPLE_ORIG);
  const answer = entry.get(CTA.TUPLE_REPLY);
  if (!original || !answer) return undefined;
  const [tuple, back] = [decodeAttributes(original), decodeAttributes(answer)];
  const [there, ports, here] = [tuple.get(CTA_TUPLE.IP), tuple.get(CTA_TUPLE.PROTO), back.get(CTA_TUPLE.IP)];
  if (!there || !ports || !here) return undefined;
  const [addresses, transport, answering] = [decodeAttributes(there), decodeAttributes(ports), decodeAttributes(here)];
  const [src, dst] = family === 4 ? [CTA_IP.V4_SRC, CTA_IP.V4_DST] : [CTA_IP.V6_SRC, CTA_IP.V6_DST];
  if (transport.get(CTA_PROTO.NUM)?.[0] !== protocol || !addresses.has(src)) return undefined;
  return {
    family,
    original,
    id: entry.get(CTA.ID),
    zone: entry.get(CTA.ZONE),
    source: ipFromBytes(addresses.get(src)!),
    destination: ipFromBytes(addresses.get(dst)!),
    destinationPort: transport.get(CTA_PROTO.DST_PORT)?.readUInt16BE(0) ?? 0,
    answering: ipFromBytes(answering.get(src)!),
  };
}

/** A list takes the kernel, which locks each of its 262,144 buckets, as long (12 ms) as deleting by this many patterns. */
const PATTERNS_PER_LIST = 40;

/** Makes the kernel forget the flows that fit one of the patterns, none of which is empty; a kernel without connection tracking has none. */
export function forgetFlows(socket: NetlinkSocket, kind: FlowKind, patterns: readonly FlowPattern[]): void {
  // Linux (6.18 at least) takes an IPv6 address in a filter for all addresses but that one
  if (kind.family === 4 && patterns.length <= PATTERNS_PER_LIST && deleteFlows(socket, kind, patterns)) return;
  for (const entry of listFlows(socket, kind)) if (patterns.some((pattern) => fits(entry, pattern))) forget(socket, entry);
}

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

const fits = (flow: Flow, { source, destination, destinationPort, answering }: FlowPattern): boolean =>
  (destinationPort === undefined || destinationPort === flow.destinationPort) &&
  (!source || sameIp(source, flow.source)) &&
  (!destination || sameIp(destination, flow.destination)) &&
  (!answering || sameIp(answering, flow.answering));

const UNSUPPORTED = ["EINVAL", "EOPNOTSUPP", "EPROTONOSUPPORT"];

function listFlows(socket: NetlinkSocket, kind: FlowKind): Entry[] {
  try {
    return socket.dump(listEntries(kind)).flatMap((reply) => decodeEntry(reply, kind) ?? []);
  } catch (error) {
    if (isErrno(error, ...UNSUPPORTED)) return []; // no ctnetlink in this kernel
    throw error;
  }
}

/** One that ended in between is forgotten already. */
function forget(socket: NetlinkSocket, entry: Entry): void {
  try {
    socket.request([{ ...deleteEntry(entry), flags: NLM_F.ACK }]);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

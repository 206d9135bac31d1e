import { type Family, type Ip, ipBytes, ipFromBytes, sameIp } from "../net/ip.ts";
import { concatBytes } from "../net/bytes.ts";
import { attribute, be16, be32, type Bytes, decodeAttributes, nested, NLM_F, u32, u8 } from "./codec.ts";
import type { Message, Reply } from "./message.ts";
import { AF } from "./rtnetlink/address.ts";

// The connections the kernel tracks, as messages of nfnetlink.

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
export interface Flow {
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

/** A flow, and what the kernel knows it by. */
export interface Entry extends Flow {
  family: Family;
  original: Uint8Array;
  id: number | undefined;
  zone: number | undefined;
}

const message = (type: number, family: Family, data: Bytes, what: string): Message => ({
  type: (NFNL_SUBSYS_CTNETLINK << 8) | type,
  flags: 0,
  data: [Uint8Array.of(AF[family], NFNETLINK_V1, 0, 0), ...data],
  what,
});

const addressTypes = (family: Family) =>
  family === 4 ? ([CTA_IP.V4_SRC, CTA_IP.V4_DST] as const) : ([CTA_IP.V6_SRC, CTA_IP.V6_DST] as const);

/** Protocol, addresses and port of one direction as a filter has them, and the flags that say which those are. */
function direction(
  { protocol, family }: FlowKind,
  { source, destination, destinationPort }: FlowPattern,
): { tuple: Bytes; flags: number } {
  const [src, dst] = addressTypes(family);
  const ip = [
    ...(source ? attribute(src, ipBytes(source)) : []),
    ...(destination ? attribute(dst, ipBytes(destination)) : []),
  ];
  const port = destinationPort === undefined ? [] : be16(CTA_PROTO.DST_PORT, destinationPort);
  const compared = [
    source ? CTA_FILTER_F.IP_SRC : 0,
    destination ? CTA_FILTER_F.IP_DST : 0,
    CTA_FILTER_F.PROTO_NUM,
    port.length > 0 ? CTA_FILTER_F.PROTO_DST_PORT : 0,
  ];
  return {
    tuple: [
      ...(ip.length > 0 ? nested(CTA_TUPLE.IP, ip) : []),
      ...nested(CTA_TUPLE.PROTO, u8(CTA_PROTO.NUM, protocol), port),
    ],
    flags: compared.reduce((flags, flag) => flags | flag, 0),
  };
}

function filtered(kind: FlowKind, pattern: FlowPattern): Bytes {
  const there = direction(kind, pattern);
  const back = pattern.answering && direction(kind, { source: pattern.answering });
  return [
    ...nested(CTA.TUPLE_ORIG, there.tuple),
    ...(back ? nested(CTA.TUPLE_REPLY, back.tuple) : []),
    // the flags are in host byte order, unlike the rest of nfnetlink
    ...nested(CTA.FILTER, u32(CTA_FILTER.ORIG_FLAGS, there.flags), u32(CTA_FILTER.REPLY_FLAGS, back?.flags ?? 0)),
  ];
}

/** Asks for the flows of a kind; a kernel before 5.8 ignores the filter and lists other protocols too. */
export const listEntries = (kind: FlowKind): Message =>
  message(IPCTNL_MSG_CT_GET, kind.family, filtered(kind, {}), "list connections");

/**
 * Deletes what fits; a kernel that deletes by no filter takes the tuple for a whole one, which it is not: EINVAL, and
 * nothing is lost.
 */
export const deleteEntries = (kind: FlowKind, pattern: FlowPattern): Message =>
  message(IPCTNL_MSG_CT_DELETE, kind.family, filtered(kind, pattern), "forget connections");

/** Bytes that every flow has which fits: those of the port, or of one of the addresses. */
export const mentionOf = ({ destinationPort, source, destination, answering }: FlowPattern): Uint8Array[] => {
  if (destinationPort !== undefined) return [concatBytes(be16(CTA_PROTO.DST_PORT, destinationPort))];
  const ip = source ?? destination ?? answering;
  return ip ? [ipBytes(ip)] : [];
};

/** Deletes one flow; ENOENT when it has ended. */
export const deleteEntry = ({ family, original, id, zone }: Entry): Message => ({
  ...message(
    IPCTNL_MSG_CT_DELETE,
    family,
    [
      ...nested(CTA.TUPLE_ORIG, original),
      ...(id === undefined ? [] : be32(CTA.ID, id)),
      ...(zone === undefined ? [] : be16(CTA.ZONE, zone)),
    ],
    "forget a connection",
  ),
  flags: NLM_F.ACK,
});

/** The flow of a reply to IPCTNL_MSG_CT_GET; undefined for one of another kind. */
export function decodeEntry(reply: Reply, { family, protocol }: FlowKind): Entry | undefined {
  const entry = decodeAttributes(reply.data.subarray(4));
  const original = entry.get(CTA.TUPLE_ORIG);
  if (!original || !entry.has(CTA.TUPLE_REPLY)) return undefined;
  const tuple = decodeAttributes(original);
  const [addresses, transport] = [tuple.nested(CTA_TUPLE.IP), tuple.nested(CTA_TUPLE.PROTO)];
  const [src, dst] = addressTypes(family);
  const [source, destination, answering] = [
    addresses.get(src),
    addresses.get(dst),
    entry.nested(CTA.TUPLE_REPLY).nested(CTA_TUPLE.IP).get(src),
  ];
  if (transport.u8(CTA_PROTO.NUM) !== protocol || !source || !destination || !answering) return undefined;
  return {
    family,
    original,
    id: entry.be32(CTA.ID),
    zone: entry.be16(CTA.ZONE),
    source: ipFromBytes(source),
    destination: ipFromBytes(destination),
    destinationPort: transport.be16(CTA_PROTO.DST_PORT) ?? 0,
    answering: ipFromBytes(answering),
  };
}

/** True for a flow that has all the pattern asks for. */
export const fits = (flow: Flow, { source, destination, destinationPort, answering }: FlowPattern): boolean =>
  (destinationPort === undefined || destinationPort === flow.destinationPort) &&
  (!source || sameIp(source, flow.source)) &&
  (!destination || sameIp(destination, flow.destination)) &&
  (!answering || sameIp(answering, flow.answering));

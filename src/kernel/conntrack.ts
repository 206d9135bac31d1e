import { type Family, type Ip, ipFromBytes } from "../net/ip.ts";
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
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** The third bit of the filter's flags: compare the protocol. */
const CTA_FILTER_PROTO_NUM = 1 << 3;

/** A connection the kernel remembers: as its first packet was, and where the answers come from. */
export interface Flow {
  source: Ip;
  destination: Ip;
  destinationPort: number;
  /** differs from `destination` where the connection was redirected */
  answering: Ip;
}

interface Entry extends Flow {
  family: Family;
  original: Buffer;
  id: Buffer | undefined;
  zone: Buffer | undefined;
}

const message = (type: number, family: number, data: Uint8Array[], what: string): Message => ({
  type: (NFNL_SUBSYS_CTNETLINK << 8) | type,
  flags: 0,
  data: [Buffer.from([family, 0, 0, 0]), ...data],
  what,
});

/** All entries of a family and layer-4 protocol: the kernel walks its whole table for each list, which takes it some 10 ms. A kernel before 5.8 ignores the filter and lists other protocols too. */
const listEntries = (family: Family, protocol: number): Message =>
  message(
    IPCTNL_MSG_CT_GET,
    AF[family],
    [
      ...nested(CTA.TUPLE_ORIG, nested(CTA_TUPLE.PROTO, u8(CTA_PROTO.NUM, protocol))),
      ...nested(CTA.FILTER, hostWord(CTA_FILTER_ORIG_FLAGS, CTA_FILTER_PROTO_NUM), hostWord(CTA_FILTER_REPLY_FLAGS, 0)),
    ],
    "list connections",
  );

/** The filter's flags are in host byte order, unlike the rest of nfnetlink. */
const hostWord = (type: number, value: number): Uint8Array[] => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return attribute(type, bytes);
};

const deleteEntry = ({ family, original, id, zone }: Entry): Message =>
  message(
    IPCTNL_MSG_CT_DELETE,
    AF[family],
    [...nested(CTA.TUPLE_ORIG, original), ...(id ? be32(CTA.ID, id.readUInt32BE(0)) : []), ...(zone ? be16(CTA.ZONE, zone.readUInt16BE(0)) : [])],
    "forget a connection",
  );

function decodeEntry(reply: Reply, family: Family, protocol: number): Entry | undefined {
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

/** linux/in.h */
export const IPPROTO_UDP = 17;

/** Makes the kernel forget the flows of a protocol that `isStale`; a kernel without connection tracking has none. Returns how many. */
export function forgetFlows(socket: NetlinkSocket, { family, protocol }: { family: Family; protocol: number }, isStale: (flow: Flow) => boolean): number {
  const stale = listFlows(socket, family, protocol).filter(isStale);
  for (const entry of stale) forget(socket, entry);
  return stale.length;
}

function listFlows(socket: NetlinkSocket, family: Family, protocol: number): Entry[] {
  try {
    return socket.dump(listEntries(family, protocol)).flatMap((reply) => decodeEntry(reply, family, protocol) ?? []);
  } catch (error) {
    if (isErrno(error, "EINVAL", "EOPNOTSUPP", "EPROTONOSUPPORT")) return []; // no ctnetlink in this kernel
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

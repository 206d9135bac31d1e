import { encodeUtf8 } from "../../net/bytes.ts";
import { type Family, type Ip, ipBytes } from "../../net/ip.ts";
import { word } from "../../netlink/codec.ts";
import { nfproto } from "../../netlink/nftables/match.ts";

/** A first packet of a connection, as far as it is known; what is absent may be anything. */
export interface Packet {
  source: Ip;
  destination: Ip;
  /** links it comes in and goes out by; "" where it has none (yet) */
  iif: string;
  oif: string;
  /** IPPROTO_TCP and the like */
  protocol: number;
  destinationPort?: number;
  /** linux/rtnetlink.h: RTN_LOCAL where the node takes it in, RTN_UNICAST */
  destinationKind: "local" | "unicast";
  /** "established": an answer */
  state: "new" | "established";
  /** a host port led it here */
  translated?: boolean;
  /** what podwire itself marked it with, before others' chains see it */
  mark?: number;
}

/** linux/netfilter/nf_conntrack_common.h, NF_CT_STATE_BIT: new is 1 << 3, established 1 << 1. */
export const stateBits = { new: 1 << 3, established: 1 << 1 } as const;
/** IPS_DST_NAT */
const DST_NAT = 1 << 5;
/** linux/rtnetlink.h */
export const kindNumbers = { unicast: 1, local: 2 } as const;

/** IFNAMSIZ */
const NAME_BYTES = 16;

function nameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(NAME_BYTES);
  bytes.set(encodeUtf8(name).subarray(0, NAME_BYTES - 1));
  return bytes;
}

export const familyOf = ({ source }: Packet): Family => source.family;

/** Where fields are in struct iphdr and struct ipv6hdr. */
const fields = {
  4: { protocol: 9, source: 12, destination: 16 },
  6: { protocol: 6, source: 8, destination: 24 },
} as const;

/** Bytes of the network header; undefined where some of them are not known. */
export function networkHeader(packet: Packet, offset: number, length: number): Uint8Array | undefined {
  const at = fields[familyOf(packet)];
  const pieces: [number, Uint8Array][] = [
    [at.protocol, Uint8Array.of(packet.protocol)],
    [at.source, ipBytes(packet.source)],
    [at.destination, ipBytes(packet.destination)],
  ];
  for (const [start, bytes] of pieces) {
    if (offset >= start && offset + length <= start + bytes.length) {
      return bytes.slice(offset - start, offset - start + length);
    }
  }
  return undefined;
}

/** As `networkHeader`, of the transport header: the destination port alone. */
export const transportHeader = ({ destinationPort }: Packet, offset: number, length: number): Uint8Array | undefined =>
  offset === 2 && length === 2 && destinationPort !== undefined
    ? Uint8Array.of(destinationPort >> 8, destinationPort)
    : undefined;

/** NFT_META_* of linux/netfilter/nf_tables.h that are known of it; interface indexes are not. */
export function metaOf(packet: Packet, key: number): Uint8Array | undefined {
  switch (key) {
    case 3 /* NFT_META_MARK */:
      return word(packet.mark ?? 0);
    case 6 /* NFT_META_IIFNAME */:
      return nameBytes(packet.iif);
    case 7 /* NFT_META_OIFNAME */:
      return nameBytes(packet.oif);
    case 15 /* NFT_META_NFPROTO */:
      return Uint8Array.of(nfproto(familyOf(packet)));
    case 16 /* NFT_META_L4PROTO */:
      return Uint8Array.of(packet.protocol);
    default:
      return undefined;
  }
}

/** NFT_CT_*: state and status. */
export function conntrackOf({ state, translated }: Packet, key: number): Uint8Array | undefined {
  if (key === 0 /* NFT_CT_STATE */) return word(stateBits[state]);
  if (key === 2 /* NFT_CT_STATUS */) return state === "new" ? word(translated ? DST_NAT : 0) : undefined;
  return undefined;
}

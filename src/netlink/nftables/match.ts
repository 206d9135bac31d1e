import { encodeUtf8 } from "../../net/bytes.ts";
import { bits, type Family, ipBytes, networkOf, type Prefix } from "../../net/ip.ts";
import { type Bytes, word } from "../codec.ts";
import {
  bitwise,
  compare,
  type Field,
  loadMeta,
  loadPayload,
  loadTracked,
  NFT_META,
  NFT_PAYLOAD,
  NFT_REG_2,
  storeMeta,
} from "./expression.ts";

/** linux/netfilter.h */
export const NFPROTO = { INET: 1, IPV4: 2, BRIDGE: 7, IPV6: 10 } as const;

/** struct iphdr and struct ipv6hdr: where the addresses are. */
const offsets = { 4: { saddr: 12, daddr: 16 }, 6: { saddr: 8, daddr: 24 } } as const;

export const nfproto = (family: Family): number => (family === 4 ? NFPROTO.IPV4 : NFPROTO.IPV6);

/** `meta nfproto ipv4`: what a rule of an inet table must say before it reads an IPv4 header. */
export const isFamily = (family: Family): Bytes => [
  ...loadMeta(NFT_META.NFPROTO),
  ...compare(Uint8Array.of(nfproto(family))),
];

const addressField = (family: Family, side: "saddr" | "daddr"): Field => ({
  base: NFT_PAYLOAD.NETWORK_HEADER,
  offset: offsets[family][side],
  length: bits(family) / 8,
});

/** Loads the packet's source or destination address; for packets of another family the rule ends. */
export const loadAddress = (family: Family, side: "saddr" | "daddr"): Bytes => [
  ...isFamily(family),
  ...loadPayload(addressField(family, side)),
];

/** The destination port of TCP, UDP and SCTP alike: bytes 2 and 3 of their headers. */
export const loadDestinationPort = (register: number): Bytes =>
  loadPayload({ base: NFT_PAYLOAD.TRANSPORT_HEADER, offset: 2, length: 2 }, register);

/**
 * `ip saddr 10.0.0.0/8`. As nft writes it: whole bytes are compared as they are, other lengths under a mask, so that
 * its listing shows a prefix.
 */
export function addressIn(side: "saddr" | "daddr", prefix: Prefix): Bytes {
  const { ip, length } = networkOf(prefix);
  const family = isFamily(ip.family);
  if (length === 0) return family;
  const field = addressField(ip.family, side);
  if (length % 8 === 0) {
    return [
      ...family,
      ...loadPayload({ ...field, length: length / 8 }),
      ...compare(ipBytes(ip).subarray(0, length / 8)),
    ];
  }
  const size = bits(ip.family);
  const mask = ((1n << BigInt(length)) - 1n) << BigInt(size - length);
  return [
    ...family,
    ...loadPayload(field),
    ...bitwise(ipBytes({ family: ip.family, value: mask }), new Uint8Array(size / 8)),
    ...compare(ipBytes(ip)),
  ];
}

/** An interface name as the kernel compares it: IFNAMSIZ bytes. */
export function linkKey(name: string): Uint8Array {
  const key = new Uint8Array(16);
  key.set(encodeUtf8(name));
  return key;
}

/** `meta mark set meta mark | bit`; packet marks are numbers of the processor's own byte order. */
export const setMarkBit = (bit: number): Bytes => [
  ...loadMeta(NFT_META.MARK),
  ...bitwise(word(~bit), word(bit)),
  ...storeMeta(NFT_META.MARK),
];
/** `meta mark set meta mark & ~bit` */
export const clearMarkBit = (bit: number): Bytes => [
  ...loadMeta(NFT_META.MARK),
  ...bitwise(word(~bit), word(0)),
  ...storeMeta(NFT_META.MARK),
];
/** `meta mark & bit == bit` */
export const hasMarkBit = (bit: number): Bytes => [
  ...loadMeta(NFT_META.MARK),
  ...bitwise(word(bit), word(0)),
  ...compare(word(bit)),
];

/** linux/netfilter/nf_tables.h; NF_CT_STATE_BIT and IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h */
const tracked = {
  established: { key: 0 /* NFT_CT_STATE */, bits: 2 | 4 },
  dnat: { key: 2 /* NFT_CT_STATUS */, bits: 0x20 },
} as const;

/** `ct state established,related`, or `ct status dnat`. */
export const isTracked = (what: keyof typeof tracked): Bytes => [
  ...loadTracked(tracked[what].key),
  ...bitwise(word(tracked[what].bits), word(0)),
  ...compare(word(0), "!="),
];

/** The packet's way in and out, `iifname . oifname`, as the key of a set. */
export const loadLinks = (): Bytes => [...loadMeta(NFT_META.IIFNAME), ...loadMeta(NFT_META.OIFNAME, NFT_REG_2)];

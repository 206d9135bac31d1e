import { encodeHex, viewOf } from "../../net/bytes.ts";
import { broadcastOf, type Family, formatPrefix, type Ip, ipBytes, ipFromBytes, type Prefix } from "../../net/ip.ts";
import { attribute, decodeAttributes, NLM_F, u32 } from "../codec.ts";
import type { Message, Reply } from "../message.ts";

/** linux/rtnetlink.h, linux/if_addr.h */
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, CACHEINFO: 6, FLAGS: 8 } as const;
export const IFA_F = { NODAD: 0x02, DADFAILED: 0x08, TENTATIVE: 0x40, NOPREFIXROUTE: 0x200 } as const;
/** linux/socket.h */
export const AF = { 4: 2, 6: 10 } as const;
export const RTNLGRP_IPV6_IFADDR = 9;

/** An address on a link; `flags` are IFA_F_*. */
export interface Address {
  index: number;
  prefix: Prefix;
  flags: number;
}

/** struct ifaddrmsg */
function header(prefix: Prefix | undefined, index: number): Uint8Array {
  const bytes = new Uint8Array(8);
  if (prefix) {
    bytes[0] = AF[prefix.ip.family];
    bytes[1] = prefix.length;
  }
  viewOf(bytes).setUint32(4, index, true);
  return bytes;
}

interface On {
  index: number;
  name: string;
}

/**
 * Puts an address on a link: global scope, IPv4 with its broadcast address where the prefix has one, IPv6 without
 * duplicate address detection unless `dad`. EEXIST when it is there.
 */
export function addAddress(
  link: On,
  prefix: Prefix,
  options: { dad?: boolean; noPrefixRoute?: boolean } = {},
): Message {
  const flags =
    (prefix.ip.family === 6 && !options.dad ? IFA_F.NODAD : 0) | (options.noPrefixRoute ? IFA_F.NOPREFIXROUTE : 0);
  const bytes = ipBytes(prefix.ip);
  return {
    type: RTM_NEWADDR,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    data: [
      header(prefix, link.index),
      ...attribute(IFA.LOCAL, bytes),
      ...attribute(IFA.ADDRESS, bytes),
      ...(prefix.ip.family === 4 && prefix.length < 31 ? attribute(IFA.BROADCAST, ipBytes(broadcastOf(prefix))) : []),
      ...(flags ? u32(IFA.FLAGS, flags) : []),
    ],
    what: `add address ${formatPrefix(prefix)} to link ${link.name}`,
  };
}

export const deleteAddress = (link: On, prefix: Prefix): Message => ({
  type: RTM_DELADDR,
  flags: 0,
  data: [header(prefix, link.index), ...attribute(IFA.LOCAL, ipBytes(prefix.ip))],
  what: `delete address ${formatPrefix(prefix)} from link ${link.name}`,
});

/** Asks for the addresses of one link, or of all (index 0), in kernel order (use with NetlinkSocket.dump). */
export function getAddresses(index: number, family?: Family): Message {
  const asked = header(undefined, index);
  if (family) asked[0] = AF[family];
  return { type: RTM_GETADDR, flags: 0, data: [asked], what: "list addresses" };
}

/** Behind struct nlmsghdr and struct ifaddrmsg; IPv4 has IFA_ADDRESS first, 8 bytes, and its IFA_LOCAL behind it. */
const ATTRIBUTES_AT = 24;
const SECOND_AT = ATTRIBUTES_AT + 8;
const IPV4_LOCAL = (IFA.LOCAL << 16) | 8;

/**
 * Adds the addresses of a datagram of replies to RTM_GETADDR to those that are known, by their bytes in hex. There can
 * be thousands, most of them the same (each pod of ptp has its gateway's), so IPv4 ones that were `seen` are stepped
 * over.
 */
export function collectAddresses(datagram: Uint8Array, known: Map<string, Ip>, seen: Set<number>): void {
  const view = viewOf(datagram);
  for (let at = 0, length = 0; at + ATTRIBUTES_AT <= datagram.length; at += (length + 3) & ~3) {
    length = view.getUint32(at, true);
    if (length < ATTRIBUTES_AT || at + length > datagram.length) return;
    if (length >= SECOND_AT + 8 && view.getUint32(at + SECOND_AT, true) === IPV4_LOCAL) {
      const word = view.getUint32(at + SECOND_AT + 4);
      if (seen.has(word)) continue;
      seen.add(word);
    }
    if (view.getUint16(at + 4, true) !== RTM_NEWADDR) continue;
    const attributes = decodeAttributes(datagram.subarray(at + ATTRIBUTES_AT, at + length));
    const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
    if (bytes) known.set(encodeHex(bytes), ipFromBytes(bytes));
  }
}

/** When such an address was made, in hundredths of a second since the boot: cstamp of struct ifa_cacheinfo. */
export const decodeCreated = ({ data }: Reply): number | undefined => {
  const info = decodeAttributes(data.subarray(8)).get(IFA.CACHEINFO);
  return info && info.length >= 12 ? viewOf(info).getUint32(8, true) : undefined;
};

/** The address of a reply to RTM_GETADDR or of a notification; undefined for another message. */
export function decodeAddress({ type, data }: Reply): Address | undefined {
  if (type !== RTM_NEWADDR) return undefined;
  const attributes = decodeAttributes(data.subarray(8));
  const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
  if (!bytes) return undefined;
  return {
    index: viewOf(data).getUint32(4, true),
    prefix: { ip: ipFromBytes(bytes), length: data[1]! },
    flags: attributes.u32(IFA.FLAGS) ?? data[2]!,
  };
}

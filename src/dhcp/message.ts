import { concatBytes, decodeUtf8, viewOf } from "../net/bytes.ts";
import { type Ip, ipBytes, ipFromBytes } from "../net/ip.ts";
import { macBytes, macFromBytes } from "../net/mac.ts";
import { decodeOptions, encodeOptions, Option, type Options } from "./options.ts";

/** RFC 2132, 9.6 */
export const MessageType = { DISCOVER: 1, OFFER: 2, REQUEST: 3, ACK: 5, NAK: 6, RELEASE: 7 } as const;

/** RFC 2131, 2: `op` */
const BOOTREQUEST = 1;
const BOOTREPLY = 2;
/** ARPHRD_ETHER and the length of its addresses */
const ETHERNET = 1;
const MAC_BYTES = 6;
/** RFC 2131, 2: the fixed part, with `sname` and `file`, which may hold options as well (RFC 2132, 9.3) */
const SNAME = { at: 44, bytes: 64 };
const FILE = { at: 108, bytes: 128 };
const COOKIE_AT = 236;
const COOKIE = 0x63825363;
const OPTIONS_AT = 240;
/** RFC 1542, 2.1: relays may throw away what is shorter than a BOOTP message, padding included. */
const SHORTEST = 300;
const BROADCAST_FLAG = 0x8000;

/** What a client says. */
export interface Question {
  xid: number;
  /** since it began to ask */
  seconds: number;
  /** the answer is to be broadcast: the link takes in no unicast before it has its address */
  broadcast: boolean;
  /** its own address, where it has one and may use it */
  clientAddress?: Ip;
  mac: string;
  options: Options;
}

/** What a server says. */
export interface Answer {
  type: number;
  xid: number;
  mac: string;
  yourAddress: Ip;
  options: Options;
}

/** A server's no, with what it says of it. */
export function describeNak({ options }: Answer): string {
  const why = decodeUtf8(options.get(Option.MESSAGE) ?? new Uint8Array(0));
  return `NAK${why && `: ${why}`}`;
}

export function encodeMessage({ xid, seconds, broadcast, clientAddress, mac, options }: Question): Uint8Array {
  const fixed = new Uint8Array(OPTIONS_AT);
  fixed.set([BOOTREQUEST, ETHERNET, MAC_BYTES]);
  const view = viewOf(fixed);
  view.setUint32(4, xid);
  view.setUint16(8, Math.min(seconds, 0xffff));
  view.setUint16(10, broadcast ? BROADCAST_FLAG : 0);
  if (clientAddress) fixed.set(ipBytes(clientAddress), 12);
  fixed.set(macBytes(mac), 28);
  view.setUint32(COOKIE_AT, COOKIE);
  const bytes = concatBytes([fixed, encodeOptions(options)]);
  return bytes.length >= SHORTEST ? bytes : concatBytes([bytes, new Uint8Array(SHORTEST - bytes.length)]);
}

/** A server's message; undefined for anything else, and one that says not what it is. */
export function decodeMessage(bytes: Uint8Array): Answer | undefined {
  if (bytes.length < OPTIONS_AT) return undefined;
  const view = viewOf(bytes);
  const isReply = bytes[0] === BOOTREPLY && bytes[1] === ETHERNET && bytes[2] === MAC_BYTES;
  if (!isReply || view.getUint32(COOKIE_AT) !== COOKIE) return undefined;
  const own = bytes.subarray(OPTIONS_AT);
  const overload = decodeOptions([own]).get(Option.OVERLOAD)?.[0] ?? 0;
  const field = ({ at, bytes: length }: typeof FILE): Uint8Array => bytes.subarray(at, at + length);
  const options = decodeOptions([own, ...(overload & 1 ? [field(FILE)] : []), ...(overload & 2 ? [field(SNAME)] : [])]);
  const type = options.get(Option.MESSAGE_TYPE);
  if (type?.length !== 1) return undefined;
  return {
    type: type[0]!,
    xid: view.getUint32(4),
    mac: macFromBytes(bytes.subarray(28, 28 + MAC_BYTES)),
    yourAddress: ipFromBytes(bytes.subarray(16, 20)),
    options,
  };
}

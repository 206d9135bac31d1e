import { decodeCString, encodeUtf8, findAttribute, viewOf } from "../net/bytes.ts";

// The wire format of netlink, the same for every family of messages; the tests hold it to the npm package netlink.
// Numbers are in the byte order of every machine podwire runs on (x86-64, arm64): little endian.

/** linux/netlink.h */
export const NLM_F = {
  REQUEST: 1,
  ACK: 4,
  ECHO: 8,
  ROOT: 0x100,
  MATCH: 0x200,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  NONREC: 0x100,
} as const;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
/** struct nlattr { u16 nla_len; u16 nla_type; }; what follows is padded to 4 bytes */
const NLA_HDRLEN = 4;

/** Pieces of a message or attribute payload, in order. */
export type Bytes = Uint8Array[];

const padded = (length: number): number => (length + 3) & ~3;

/** An attribute with its header, its padding, and room for a payload. */
function emptyAttribute(type: number, payload: number): Uint8Array {
  const length = NLA_HDRLEN + payload;
  if (length > 0xffff) throw new RangeError(`a netlink attribute holds 65535 bytes, not ${length}`);
  const bytes = new Uint8Array(padded(length));
  bytes[0] = length;
  bytes[1] = length >> 8;
  bytes[2] = type;
  bytes[3] = type >> 8;
  return bytes;
}

/** One attribute, header and padding included, whose payload is the given pieces. */
export function attribute(type: number, ...data: (Uint8Array | Bytes)[]): Bytes {
  let size = 0;
  for (const part of data) size += Array.isArray(part) ? sizeOf(part) : part.length;
  const bytes = emptyAttribute(type, size);
  let at = NLA_HDRLEN;
  for (const part of data) {
    for (const piece of Array.isArray(part) ? part : [part]) {
      bytes.set(piece, at);
      at += piece.length;
    }
  }
  return [bytes];
}

function sizeOf(pieces: Bytes): number {
  let size = 0;
  for (const piece of pieces) size += piece.length;
  return size;
}

/** An attribute that holds attributes. */
export const nested = (type: number, ...data: (Uint8Array | Bytes)[]): Bytes => attribute(type | NLA_F_NESTED, ...data);

export function u8(type: number, value: number): Bytes {
  const bytes = emptyAttribute(type, 1);
  bytes[4] = value;
  return [bytes];
}

export function u16(type: number, value: number): Bytes {
  const bytes = emptyAttribute(type, 2);
  bytes[4] = value;
  bytes[5] = value >> 8;
  return [bytes];
}

export function u32(type: number, value: number): Bytes {
  const bytes = emptyAttribute(type, 4);
  bytes[4] = value;
  bytes[5] = value >> 8;
  bytes[6] = value >> 16;
  bytes[7] = value >>> 24;
  return [bytes];
}

export function u64(type: number, value: bigint): Bytes {
  const bytes = emptyAttribute(type, 8);
  viewOf(bytes).setBigUint64(NLA_HDRLEN, value, true);
  return [bytes];
}

/** Numbers in network byte order, as nfnetlink wants them. */
export function be16(type: number, value: number): Bytes {
  const bytes = emptyAttribute(type, 2);
  bytes[4] = value >> 8;
  bytes[5] = value;
  return [bytes];
}

export function be32(type: number, value: number): Bytes {
  const bytes = emptyAttribute(type, 4);
  bytes[4] = value >>> 24;
  bytes[5] = value >> 16;
  bytes[6] = value >> 8;
  bytes[7] = value;
  return [bytes];
}

export function be64(type: number, value: bigint): Bytes {
  const bytes = emptyAttribute(type, 8);
  viewOf(bytes).setBigUint64(NLA_HDRLEN, value);
  return [bytes];
}

/** A string with its terminating zero. */
export const text = (type: number, value: string): Bytes => attribute(type, encodeUtf8(`${value}\0`));

/** A number of 32 bits as a socket option or a structure has it. */
export const word = (value: number): Uint8Array => Uint8Array.of(value, value >> 8, value >> 16, value >>> 24);

const NOTHING = new Uint8Array(0);

/**
 * The attributes of a payload by type; of several with one type the last counts. One that is cut short ends the list,
 * as for the kernel (nla_ok); a number an attribute is too short for is a RangeError.
 */
export class Attributes {
  constructor(private readonly payload: Uint8Array) {}

  has(type: number): boolean {
    return findAttribute(this.payload, type) >= 0;
  }

  get(type: number): Uint8Array | undefined {
    const at = findAttribute(this.payload, type);
    return at < 0 ? undefined : this.payload.subarray(at + NLA_HDRLEN, at + this.lengthAt(at));
  }

  /** The attributes an attribute holds; none where it is missing. */
  nested(type: number): Attributes {
    return new Attributes(this.get(type) ?? NOTHING);
  }

  private lengthAt(at: number): number {
    return this.payload[at]! | (this.payload[at + 1]! << 8);
  }

  /** Where the payload of an attribute begins, which must have that many bytes; -1 where there is none. */
  private find(type: number, size: number): number {
    const at = findAttribute(this.payload, type);
    if (at < 0) return at;
    if (this.lengthAt(at) < NLA_HDRLEN + size) {
      throw new RangeError(`netlink attribute ${type} has ${this.lengthAt(at) - NLA_HDRLEN} bytes, not ${size}`);
    }
    return at + NLA_HDRLEN;
  }

  u8(type: number): number | undefined {
    const at = this.find(type, 1);
    return at < 0 ? undefined : this.payload[at];
  }

  u16(type: number): number | undefined {
    const at = this.find(type, 2);
    return at < 0 ? undefined : this.payload[at]! | (this.payload[at + 1]! << 8);
  }

  u32(type: number): number | undefined {
    const { payload } = this;
    const at = this.find(type, 4);
    if (at < 0) return undefined;
    return (payload[at]! | (payload[at + 1]! << 8) | (payload[at + 2]! << 16) | (payload[at + 3]! << 24)) >>> 0;
  }

  be16(type: number): number | undefined {
    const at = this.find(type, 2);
    return at < 0 ? undefined : (this.payload[at]! << 8) | this.payload[at + 1]!;
  }

  be32(type: number): number | undefined {
    const { payload } = this;
    const at = this.find(type, 4);
    if (at < 0) return undefined;
    return ((payload[at]! << 24) | (payload[at + 1]! << 16) | (payload[at + 2]! << 8) | payload[at + 3]!) >>> 0;
  }

  be64(type: number): bigint | undefined {
    const at = this.find(type, 8);
    return at < 0 ? undefined : viewOf(this.payload).getBigUint64(at);
  }

  /** A zero-terminated string; "" where it is missing. */
  text(type: number): string {
    const at = findAttribute(this.payload, type);
    return at < 0 ? "" : decodeCString(this.payload, at + NLA_HDRLEN, at + this.lengthAt(at));
  }

  /** Each type once, in the order in which they first come. */
  *[Symbol.iterator](): Generator<[type: number, data: Uint8Array]> {
    const types = new Set<number>();
    for (let at = 0; at + NLA_HDRLEN <= this.payload.length; at += padded(this.lengthAt(at))) {
      if (this.lengthAt(at) < NLA_HDRLEN || at + this.lengthAt(at) > this.payload.length) break;
      types.add((this.payload[at + 2]! | (this.payload[at + 3]! << 8)) & NLA_TYPE_MASK);
    }
    for (const type of types) yield [type, this.get(type)!];
  }
}

export const decodeAttributes = (payload: Uint8Array): Attributes => new Attributes(payload);

/** The attributes of a list payload (such as NFTA_LIST_ELEM items), in order. */
export function decodeList(payload: Uint8Array): Uint8Array[] {
  const items: Uint8Array[] = [];
  for (let at = 0; at + NLA_HDRLEN <= payload.length;) {
    const length = payload[at]! | (payload[at + 1]! << 8);
    if (length < NLA_HDRLEN || at + length > payload.length) break;
    items.push(payload.subarray(at + NLA_HDRLEN, at + length));
    at += padded(length);
  }
  return items;
}

/** A zero-terminated string attribute as text. */
export const decodeText = (data: Uint8Array): string => decodeCString(data, 0, data.length);

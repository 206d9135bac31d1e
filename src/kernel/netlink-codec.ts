/** linux/netlink.h */
export const NLM_F = { REQUEST: 1, ACK: 4, ROOT: 0x100, MATCH: 0x200, DUMP: 0x300, REPLACE: 0x100, EXCL: 0x200, CREATE: 0x400, APPEND: 0x800, NONREC: 0x100 } as const;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

// The npm package netlink encodes and decodes the same; loading it costs every call 0.4 ms, and its parser 0.2 ms for each
// link, cold. The tests hold this file to it.

const encoder = new TextEncoder();

/** Pieces of a message or attribute payload, in order. */
export type Bytes = Uint8Array[];

/** One attribute, header and padding included, whose payload is the given pieces. */
export function attribute(type: number, ...data: (Uint8Array | Bytes)[]): Bytes {
  // struct nlattr { u16 nla_len; u16 nla_type; }, each aligned to 4 bytes
  const pieces: Bytes = [Buffer.alloc(4), ...data.flat()];
  const length = sizeOf(pieces);
  if (length > 0xffff) throw new RangeError(`a netlink attribute holds 65535 bytes, not ${length}`);
  const header = pieces[0] as Buffer;
  header.writeUInt16LE(length, 0);
  header.writeUInt16LE(type, 2);
  if (length & 3) pieces.push(Buffer.alloc(4 - (length & 3)));
  return pieces;
}

function sizeOf(pieces: Bytes): number {
  let size = 0;
  for (const piece of pieces) size += piece.length;
  return size;
}

/** An attribute that holds attributes. */
export const nested = (type: number, ...data: (Uint8Array | Bytes)[]): Bytes => attribute(type | NLA_F_NESTED, ...data);

/** Numbers in the byte order of every machine podwire runs on (x86-64, arm64). */
export const u8 = (type: number, value: number): Bytes => attribute(type, littleEndian(value, 1));
export const u16 = (type: number, value: number): Bytes => attribute(type, littleEndian(value, 2));
export const u32 = (type: number, value: number): Bytes => attribute(type, littleEndian(value, 4));
/** Numbers in network byte order, as nfnetlink wants them. */
export const be32 = (type: number, value: number): Bytes => attribute(type, bigEndian(value, 4));
export const be16 = (type: number, value: number): Bytes => attribute(type, bigEndian(value, 2));

/** A number of 1 to 6 bytes in the byte order of x86-64 and arm64. */
export function littleEndian(value: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntLE(value, 0, size);
  return bytes;
}
export const u64 = (type: number, value: bigint): Bytes => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return attribute(type, bytes);
};
/** A string with its terminating zero. */
export const text = (type: number, value: string): Bytes => attribute(type, encoder.encode(`${value}\0`));

function bigEndian(value: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

/**
 * The attributes of a payload by type; of several with one type the last counts. Only those asked for are made
 * buffers of: a link has fifty.
 */
export class Attributes {
  private readonly offsets = new Map<number, number>();

  constructor(private readonly payload: Buffer) {
    for (let at = 0; at + 4 <= payload.length; ) {
      const length = payload[at]! | (payload[at + 1]! << 8);
      if (length < 4) break;
      this.offsets.set((payload[at + 2]! | (payload[at + 3]! << 8)) & NLA_TYPE_MASK, at);
      at += (length + 3) & ~3;
    }
  }

  has(type: number): boolean {
    return this.offsets.has(type);
  }

  get(type: number): Buffer | undefined {
    const at = this.offsets.get(type);
    return at === undefined ? undefined : this.payload.subarray(at + 4, at + this.payload.readUInt16LE(at));
  }

  *[Symbol.iterator](): Generator<[type: number, data: Buffer]> {
    for (const type of this.offsets.keys()) yield [type, this.get(type)!];
  }
}

export const decodeAttributes = (payload: Uint8Array): Attributes => new Attributes(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength));

/** The attributes of a list payload (such as NFTA_LIST_ELEM items), in order. */
export function decodeList(payload: Buffer): Buffer[] {
  const items: Buffer[] = [];
  for (let at = 0; at + 4 <= payload.length; ) {
    const length = payload.readUInt16LE(at);
    if (length < 4) break;
    items.push(payload.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return items;
}

/** A zero-terminated string attribute as text. */
export const decodeText = (data: Buffer): string => data.toString("utf8", 0, data.indexOf(0) < 0 ? data.length : data.indexOf(0));

/** One request; `what` says in words what it does, for the error message ("create veth veth1"). */
export interface Message {
  type: number;
  flags: number;
  data: Bytes;
  what: string;
}

/** A message as it came, without what the kernel and we agree on. */
export interface Reply {
  type: number;
  data: Buffer;
}

export interface Received extends Reply {
  flags: number;
  seq: number;
}

/** struct nlmsghdr { u32 nlmsg_len; u16 nlmsg_type; u16 nlmsg_flags; u32 nlmsg_seq; u32 nlmsg_pid; } */
const HEADER_BYTES = 16;

/** One request as the kernel reads it, numbered `seq`. */
export function encodeMessage({ type, flags, data }: Message, seq: number): Bytes {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + sizeOf(data), 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags | NLM_F.REQUEST, 6);
  header.writeUInt32LE(seq, 8);
  return [header, ...data];
}

/** The messages of one datagram. */
export function decodeMessages(datagram: Buffer): Received[] {
  const messages: Received[] = [];
  for (let at = 0; at + HEADER_BYTES <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < HEADER_BYTES) break;
    messages.push({ type: datagram.readUInt16LE(at + 4), flags: datagram.readUInt16LE(at + 6), seq: datagram.readUInt32LE(at + 8), data: datagram.subarray(at + HEADER_BYTES, at + length) });
    at += (length + 3) & ~3;
  }
  return messages;
}

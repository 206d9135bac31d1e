import type { NetlinkMessage } from "netlink/dist/structs";
import { errnoText } from "./errno.ts";
import * as libc from "./libc.ts";

// `require`, not `import`: making an ES module of the package's hundred exports would cost every call 0.3 ms.
const { formatAttribute, formatMessage, pad, parseAttributes, parseMessages, putU16, putU32, putU64, putU8 } = require("netlink/dist/structs") as typeof import("netlink/dist/structs");

/** linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NLM_F = { REQUEST: 1, ACK: 4, ROOT: 0x100, MATCH: 0x200, DUMP: 0x300, REPLACE: 0x100, EXCL: 0x200, CREATE: 0x400, APPEND: 0x800, NONREC: 0x100 } as const;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_CAPPED = 0x100;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const NLA_TYPE_MASK = 0x3fff;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_GET_STRICT_CHK = 12;
const SOL_NETLINK = 270;
const AF_NETLINK = 16;
/** struct sockaddr_nl: family, and zeros for "any port" and no groups */
const SOCKADDR_NL = new Uint8Array(new Uint16Array([AF_NETLINK, 0, 0, 0, 0, 0]).buffer);
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** A dump that the kernel flagged as interrupted is asked again this often. */
const DUMP_ATTEMPTS = 10;
/** A dump answers from memory; a kernel that says nothing for this long will not. */
const REPLY_DEADLINE_MS = 10_000;

/** Pieces of a message or attribute payload, in order; the netlink package writes numbers in host byte order. */
export type Bytes = Uint8Array[];

/** One attribute, header and padding included, whose payload is the given pieces. */
export const attribute = (type: number, ...data: (Uint8Array | Bytes)[]): Bytes => pad(formatAttribute({ type, data: data.flat() }));

/** An attribute that holds attributes (NLA_F_NESTED is set). */
export const nested = (type: number, ...data: (Uint8Array | Bytes)[]): Bytes => pad(formatAttribute({ type, nested: true, data: data.flat() }));

export const u8 = (type: number, value: number): Bytes => attribute(type, putU8(value));
export const u16 = (type: number, value: number): Bytes => attribute(type, putU16(value));
export const u32 = (type: number, value: number): Bytes => attribute(type, putU32(value));
export const u64 = (type: number, value: bigint): Bytes => attribute(type, putU64(value));
/** A number in network byte order, as nfnetlink wants its numbers. */
export const be32 = (type: number, value: number): Bytes => attribute(type, bigEndian(value, 4));
export const be16 = (type: number, value: number): Bytes => attribute(type, bigEndian(value, 2));
/** A string with its terminating zero. */
export const text = (type: number, value: string): Bytes => attribute(type, Buffer.from(`${value}\0`));

function bigEndian(value: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

/**
 * The attributes of a payload by type; of several with one type the last counts. Only those asked for are made buffers
 * of: a link has fifty, and the netlink package's parser spends 0.2 ms on them when it is cold.
 */
export class Attributes {
  private readonly offsets = new Map<number, number>();

  constructor(private readonly payload: Buffer) {
    // struct nlattr { u16 nla_len; u16 nla_type; }, each aligned to 4 bytes
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
  parseAttributes(payload, ({ data }) => items.push(data));
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

export type Reply = Pick<NetlinkMessage, "type" | "data">;

/** The kernel refused a request: errno as in SystemError, and the kernel's own sentence where it gave one. */
export class NetlinkError extends libc.SystemError {
  constructor(readonly what: string, errno: number, readonly kernelMessage: string) {
    super(what, errno);
    this.message = `cannot ${what}: ${errnoText(errno)} (${this.code})${kernelMessage && `: ${kernelMessage}`}`;
  }
}

/** A netlink socket of the namespace the thread was in when it was opened. */
export class NetlinkSocket {
  private seq = 1;
  private readonly buffer = Buffer.allocUnsafe(64 << 10);

  private constructor(readonly fd: number) {}

  static open(protocol: number): NetlinkSocket {
    const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    const one = putU32(1);
    libc.setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, one);
    libc.setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, one);
    libc.setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, one); // a dump honours the filter in its header
    return new NetlinkSocket(fd);
  }

  close(): void {
    libc.close(this.fd);
  }

  /** Joins a multicast group (RTNLGRP_...) on a socket nothing was sent with yet; its messages come by `receive`. */
  join(group: number): void {
    // A socket without a port of its own has number 0, the kernel's, and is passed over as the sender of what the kernel says.
    libc.bind(this.fd, SOCKADDR_NL);
    libc.setsockopt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, putU32(group));
  }

  /** Lets a dump of any size queue up, where the process may (CAP_NET_ADMIN). */
  widen(bytes: number): void {
    libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, putU32(bytes));
  }

  /**
   * Sends all messages at once and throws the first error as NetlinkError. The kernel works through them in order while
   * we send, and goes on after one that failed (nfnetlink batches excepted: all or nothing).
   * Returns what else it answered (replies to RTM_GET..., NLM_F_ECHO).
   */
  request(messages: readonly Message[]): Reply[] {
    if (messages.length === 0) return [];
    const first = this.send(messages);
    const replies: Reply[] = [];
    let error: NetlinkError | undefined;
    for (let batch = this.receive(0); batch; batch = this.receive(0)) {
      for (const { type, flags, seq, data } of batch) {
        if (seq < first) continue;
        if (type !== NLMSG_ERROR) replies.push({ type, data });
        else error ??= decodeError(data, flags, messages[seq - first]?.what ?? "use netlink");
      }
    }
    if (error) throw error;
    return replies;
  }

  /** The one answer to a request, or undefined when the kernel says there is none (ENODEV, ENOENT). */
  find(message: Message): Reply | undefined {
    try {
      return this.request([message])[0];
    } catch (error) {
      if (libc.isErrno(error, "ENODEV", "ENOENT")) return undefined;
      throw error;
    }
  }

  /** All objects a dump lists; asked again when it was interrupted by a change (NLM_F_DUMP_INTR). */
  dump(message: Message): Reply[] {
    for (let attempt = 1; ; attempt++) {
      const replies = this.dumpOnce(message);
      if (replies) return replies;
      if (attempt === DUMP_ATTEMPTS) throw new NetlinkError(message.what, 4 /* EINTR */, `the list changed while it was read, ${DUMP_ATTEMPTS} times`);
    }
  }

  private dumpOnce(message: Message): Reply[] | undefined {
    const first = this.send([{ ...message, flags: message.flags | NLM_F.DUMP }]);
    const replies: Reply[] = [];
    let interrupted = false;
    for (;;) {
      const batch = this.receive(REPLY_DEADLINE_MS);
      if (!batch) throw new NetlinkError(message.what, 110 /* ETIMEDOUT */, "");
      for (const { type, flags, seq, data } of batch) {
        if (seq !== first) continue;
        interrupted ||= (flags & NLM_F_DUMP_INTR) !== 0;
        if (type === NLMSG_DONE) return interrupted ? undefined : replies;
        if (type === NLMSG_ERROR) {
          const error = decodeError(data, flags, message.what);
          if (error) throw error;
        } else replies.push({ type, data });
      }
    }
  }

  private send(messages: readonly Message[]): number {
    const first = this.seq;
    const pieces = messages.flatMap(({ type, flags, data }) => formatMessage({ type, flags: flags | NLM_F.REQUEST, seq: this.seq++, port: 0, data }));
    libc.send(this.fd, Buffer.concat(pieces));
    return first;
  }

  /** One datagram's messages, or undefined when none came within `timeoutMs`. */
  receive(timeoutMs: number): NetlinkMessage[] | undefined {
    if (timeoutMs > 0 && !libc.waitReadable(this.fd, timeoutMs)) return undefined;
    const length = libc.receiveNow(this.fd, this.buffer);
    return length < 0 ? undefined : parseMessages(Buffer.from(this.buffer.subarray(0, length)));
  }
}

/** struct nlmsgerr { int error; struct nlmsghdr msg; } and, when flagged, attributes; undefined for an acknowledgement. */
function decodeError(data: Buffer, flags: number, what: string): NetlinkError | undefined {
  const errno = -data.readInt32LE(0);
  if (errno === 0) return undefined;
  const skip = flags & NLM_F_CAPPED ? 20 : 4 + data.readUInt32LE(4);
  const message = flags & NLM_F_ACK_TLVS ? decodeAttributes(data.subarray((skip + 3) & ~3)).get(NLMSGERR_ATTR_MSG) : undefined;
  return new NetlinkError(what, errno, message ? decodeText(message) : "");
}

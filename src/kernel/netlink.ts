import { concatBytes, indexOfBytes, viewOf } from "../net/bytes.ts";
import { decodeAttributes, NLM_F, word } from "../netlink/codec.ts";
import {
  decodeMessages,
  encodeMessage,
  type Message,
  type Received,
  type Reply,
  siftMessages,
} from "../netlink/message.ts";
import { errnoText } from "./errno.ts";
import { close, waitReadable } from "./linux.ts";
import { bind, receiveNow, send, setsockopt, socket } from "./socket.ts";
import { isErrno, SystemError } from "./system-error.ts";

/** linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_CAPPED = 0x100;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_GET_STRICT_CHK = 12;
const SOL_NETLINK = 270;
const AF_NETLINK = 16;
/** struct sockaddr_nl: family, and zeros for "any port" and no groups */
const SOCKADDR_NL = Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
/** What every socket can send at once, however small net.core.wmem_default is; more needs room that is asked for. */
const USUAL_BYTES = 16 << 10;
/** A dump that the kernel flagged as interrupted is asked again this often. */
const DUMP_ATTEMPTS = 10;
/** Any list of objects that is worth passing over is longer. */
const LONG_DATAGRAM = 1 << 10;
/** struct nlmsghdr of NLMSG_DONE: 20 bytes with the result, flagged NLM_F_MULTI. */
const DONE_BYTES = 20;
const DONE_HEADER = Uint8Array.of(DONE_BYTES, 0, 0, 0, NLMSG_DONE, 0, 2, 0);
/** A dump answers from memory; a kernel that says nothing for this long will not. */
const REPLY_DEADLINE_MS = 10_000;

/** The kernel refused a request: errno as in SystemError, and the kernel's own sentence where it gave one. */
export class NetlinkError extends SystemError {
  constructor(
    readonly what: string,
    errno: number,
    readonly kernelMessage: string,
  ) {
    super(what, errno);
    const more = kernelMessage || (this.code === "EPERM" ? "CAP_NET_ADMIN is needed" : "");
    this.message = `cannot ${what}: ${errnoText(errno)} (${this.code})${more && `: ${more}`}`;
  }
}

/**
 * Where datagrams arrive; what is received is copied from there at once. One for all sockets: making it costs more than
 * a request.
 */
const arrivals = new Uint8Array(64 << 10);

/** A netlink socket of the namespace the thread was in when it was opened. */
export class NetlinkSocket {
  private seq = 1;

  private constructor(readonly fd: number) {}

  static open(protocol: number): NetlinkSocket {
    const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    const one = word(1);
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, one);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, one);
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, one); // a dump honours the filter in its header
    return new NetlinkSocket(fd);
  }

  close(): void {
    close(this.fd);
  }

  /** Joins a multicast group (RTNLGRP_...) on a socket nothing was sent with yet; its messages come by `receive`. */
  join(group: number): void {
    // A socket without a port of its own has number 0, the kernel's, and is passed over as the sender of what the
    // kernel says.
    bind(this.fd, SOCKADDR_NL);
    setsockopt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, word(group));
  }

  /** Lets a dump of any size queue up, where the process may (CAP_NET_ADMIN). */
  widen(bytes: number): void {
    setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, word(bytes));
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
      if (isErrno(error, "ENODEV", "ENOENT")) return undefined;
      throw error;
    }
  }

  /**
   * All objects a dump lists; asked again when it was interrupted by a change (NLM_F_DUMP_INTR). Of a list that others
   * can make long only what `mentions` one of these byte strings is decoded and kept: a datagram that does not is
   * looked at once, as bytes.
   */
  dump(message: Message, mentions?: readonly Uint8Array[]): Reply[] {
    let replies: Reply[] = [];
    readWhole(message, () => {
      replies = [];
      return this.scan(message, mentions, (reply) => void replies.push(reply));
    });
    return replies;
  }

  /** As `dump`, but given one by one, and nothing is kept; some are given again when the list has changed meanwhile. */
  each(message: Message, mentions: readonly Uint8Array[], take: (reply: Reply) => void): void {
    readWhole(message, () => this.scan(message, mentions, take));
  }

  /**
   * As `each`, of a list where no bytes tell what is wanted wherever they stand: `isWanted` looks into the datagram
   * where an object begins, before anything is decoded.
   */
  sift(message: Message, isWanted: (datagram: Uint8Array, at: number) => boolean, take: (reply: Reply) => void): void {
    const look = (datagram: Uint8Array): boolean => {
      siftMessages(datagram, isWanted, take);
      return false;
    };
    readWhole(message, () => this.scanBytes(message, look));
  }

  /** A dump whose objects are given as they come, and nothing is kept; false when it was interrupted by a change. */
  scan(message: Message, mentions: readonly Uint8Array[] | undefined, take: (reply: Reply) => void): boolean {
    const isMentioned = (bytes: Uint8Array): boolean =>
      mentions === undefined || mentions.some((wanted) => indexOfBytes(bytes, wanted) >= 0);
    return this.readDump(message, isMentioned, (reply) => {
      if (isMentioned(reply.data)) take(reply);
    });
  }

  /**
   * As `scan`, but what comes is given datagram by datagram, as bytes that are valid for that moment. Where `look` has
   * seen enough (true) the rest is not read, and the socket is good for nothing but to be closed.
   */
  scanBytes(message: Message, look: (datagram: Uint8Array) => boolean): boolean {
    let isEnough = false;
    const lookOnly = (datagram: Uint8Array): boolean => {
      isEnough = look(datagram);
      return false;
    };
    return this.readDump(
      message,
      lookOnly,
      () => undefined,
      () => isEnough,
    );
  }

  private readDump(
    message: Message,
    isWanted: (datagram: Uint8Array) => boolean,
    take: (reply: Reply) => void,
    isOver: () => boolean = () => false,
  ): boolean {
    const first = this.send([{ ...message, flags: message.flags | NLM_F.DUMP }]);
    let interrupted = false;
    for (;;) {
      const batch = this.receive(REPLY_DEADLINE_MS, (datagram) => isWanted(datagram) || mayEnd(datagram));
      if (!batch) throw new NetlinkError(message.what, 110 /* ETIMEDOUT */, "");
      for (const { type, flags, seq, data } of batch) {
        if (seq !== first) continue;
        interrupted ||= (flags & NLM_F_DUMP_INTR) !== 0;
        if (type === NLMSG_DONE) return !interrupted;
        if (type === NLMSG_ERROR) {
          const error = decodeError(data, flags, message.what);
          if (error) throw error;
        } else take({ type, data });
      }
      if (isOver()) return true;
    }
  }

  private send(messages: readonly Message[]): number {
    const first = this.seq;
    const bytes = concatBytes(messages.flatMap((message) => encodeMessage(message, this.seq++)));
    // else EMSGSIZE: one batch is one datagram
    if (bytes.length > USUAL_BYTES) setsockopt(this.fd, SOL_SOCKET, SO_SNDBUFFORCE, word(bytes.length));
    send(this.fd, bytes);
    return first;
  }

  /**
   * One datagram's messages, or undefined when none came within `timeoutMs`. Of one that is not wanted only the first
   * message is given, whose flags are those of all.
   */
  receive(timeoutMs: number, isWanted: (datagram: Uint8Array) => boolean = () => true): Received[] | undefined {
    let length = receiveNow(this.fd, arrivals); // a dump has its first answer waiting, and each brings the next
    if (length < 0 && timeoutMs > 0 && waitReadable(this.fd, timeoutMs)) length = receiveNow(this.fd, arrivals);
    if (length < 0) return undefined;
    const arrived = arrivals.subarray(0, length);
    return isWanted(arrived)
      ? decodeMessages(arrived.slice())
      : decodeMessages(arrivals.slice(0, Math.min(length, viewOf(arrived).getUint32(0, true))));
  }
}

/**
 * struct nlmsgerr { int error; struct nlmsghdr msg; } and, when flagged, attributes; undefined for an acknowledgement.
 */
function decodeError(data: Uint8Array, flags: number, what: string): NetlinkError | undefined {
  const view = viewOf(data);
  const errno = -view.getInt32(0, true);
  if (errno === 0) return undefined;
  const skip = flags & NLM_F_CAPPED ? 20 : 4 + view.getUint32(4, true);
  return new NetlinkError(
    what,
    errno,
    flags & NLM_F_ACK_TLVS ? decodeAttributes(data.subarray((skip + 3) & ~3)).text(NLMSGERR_ATTR_MSG) : "",
  );
}

/** Reads a list until no change has interrupted that. */
function readWhole({ what }: Message, read: () => boolean): void {
  for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) if (read()) return;
  throw new NetlinkError(what, 4 /* EINTR */, `the list changed while it was read, ${DUMP_ATTEMPTS} times`);
}

/** One that ends the list, or tells of an error, is short or has the end as its last message. */
const mayEnd = (datagram: Uint8Array): boolean =>
  datagram.length < LONG_DATAGRAM || indexOfBytes(datagram, DONE_HEADER, datagram.length - DONE_BYTES) >= 0;

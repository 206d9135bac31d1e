import { viewOf } from "../net/bytes.ts";
import { type Bytes, NLM_F } from "./codec.ts";

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
  data: Uint8Array;
}

export interface Received extends Reply {
  flags: number;
  seq: number;
}

/** struct nlmsghdr { u32 nlmsg_len; u16 nlmsg_type; u16 nlmsg_flags; u32 nlmsg_seq; u32 nlmsg_pid; } */
const NLMSG_HDRLEN = 16;

/** One request as the kernel reads it, numbered `seq`. */
export function encodeMessage({ type, flags, data }: Message, seq: number): Bytes {
  const header = new Uint8Array(NLMSG_HDRLEN);
  const view = viewOf(header);
  let length = NLMSG_HDRLEN;
  for (const piece of data) length += piece.length;
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags | NLM_F.REQUEST, true);
  view.setUint32(8, seq, true);
  return [header, ...data];
}

/** The messages of one datagram; one that is cut short ends it. */
export function decodeMessages(datagram: Uint8Array): Received[] {
  const messages: Received[] = [];
  const view = viewOf(datagram);
  for (let at = 0; at + NLMSG_HDRLEN <= datagram.length;) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HDRLEN || at + length > datagram.length) break;
    const data = datagram.subarray(at + NLMSG_HDRLEN, at + length);
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      data,
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** Gives those messages of a datagram that `isWanted` finds of interest, which is told where their payload begins. */
export function siftMessages(
  datagram: Uint8Array,
  isWanted: (datagram: Uint8Array, at: number) => boolean,
  take: (reply: Reply) => void,
): void {
  const view = viewOf(datagram);
  for (let at = 0, length = 0; at + NLMSG_HDRLEN <= datagram.length; at += (length + 3) & ~3) {
    length = view.getUint32(at, true);
    if (length < NLMSG_HDRLEN || at + length > datagram.length) return;
    if (!isWanted(datagram, at + NLMSG_HDRLEN)) continue;
    take({ type: view.getUint16(at + 4, true), data: datagram.slice(at + NLMSG_HDRLEN, at + length) });
  }
}

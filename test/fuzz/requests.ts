// Requests to netlink sockets as the recording names them, and the numbers of their messages.

/** linux/netlink.h */
const NETLINK_HEADER = 16;

/** FNV-1a, as the fuzz target has it. */
export function hash(bytes: Iterable<number>): string {
  let value = 0x811c9dc5;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return (value >>> 0).toString(16);
}

/** The netlink messages of a datagram, as views from each header on. */
function messagesIn(bytes: Uint8Array): DataView[] {
  const messages: DataView[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + NETLINK_HEADER <= bytes.length;) {
    const length = Math.max(view.getUint32(at, true), NETLINK_HEADER);
    messages.push(new DataView(bytes.buffer, bytes.byteOffset + at, Math.min(length, bytes.length - at)));
    at += (length + 3) & ~3;
  }
  return messages;
}

const seqOf = (message: DataView): number => message.getUint32(8, true);
const setSeq = (message: DataView, seq: number): void => message.setUint32(8, seq, true);

/** A copy whose messages' numbers count from zero, and without the socket's own. */
export function renumbered(bytes: Uint8Array, first: number): Uint8Array {
  const copy = bytes.slice();
  for (const message of messagesIn(copy)) {
    if (seqOf(message) >= first) setSeq(message, seqOf(message) - first);
    message.setUint32(12, 0, true);
  }
  return copy;
}

/**
 * A request without its numbers: the first message's type and flags, how many there are, and hashes of all types and of
 * everything.
 */
export function requestKey(bytes: Uint8Array): string {
  const messages = messagesIn(bytes);
  const kind = (message: DataView): string => `${message.getUint16(4, true)}.${message.getUint16(6, true)}`;
  const types = messages.map(kind);
  const copy = bytes.slice();
  for (const message of messagesIn(copy)) setSeq(message, 0);
  return `${types[0]} ${types.length}.${hash(new TextEncoder().encode(types.join("+")))} ${hash(copy)}`;
}

/** The number of its first message. */
export const firstNumber = (request: Uint8Array): number => seqOf(messagesIn(request)[0]!);

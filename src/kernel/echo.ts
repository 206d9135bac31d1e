import { viewOf } from "../net/bytes.ts";
import { type Ip, ipBytes } from "../net/ip.ts";
import { monotonicMs } from "./clock.ts";
import { close, waitReadable } from "./linux.ts";
import { processId } from "./process.ts";
import { connect, receiveNow, send, socket } from "./socket.ts";

/** linux/socket.h, linux/in.h, linux/in6.h */
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const kinds = {
  4: { domain: 2 /* AF_INET */, protocol: 1 /* IPPROTO_ICMP */, request: 8, reply: 0 },
  6: { domain: 10 /* AF_INET6 */, protocol: 58 /* IPPROTO_ICMPV6 */, request: 128, reply: 129 },
} as const;

/** A socket for echo requests to an address, in the namespace the thread is in; the caller closes it. */
export function openEcho(to: Ip): number {
  const { domain, protocol } = kinds[to.family];
  const fd = socket(domain, SOCK_RAW | SOCK_CLOEXEC, protocol);
  try {
    connect(fd, socketAddress(to));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * Sends some echo requests at once and returns how many were answered within the time; SystemError where the kernel
 * refuses to send them, or learns that they do not arrive (EHOSTUNREACH, ECONNREFUSED).
 */
export function askEcho(fd: number, { family }: Ip, requests: number, timeoutMs: number): number {
  const id = processId() & 0xffff;
  for (let sequence = 1; sequence <= requests; sequence++) send(fd, echoRequest(family, id, sequence));
  const deadline = monotonicMs() + timeoutMs;
  const buffer = new Uint8Array(2048);
  const answered = new Set<number>();
  while (answered.size < requests) {
    const left = deadline - monotonicMs();
    if (left <= 0 || !waitReadable(fd, Math.ceil(left))) break;
    const length = receiveNow(fd, buffer);
    const sequence = length < 0 ? undefined : sequenceOf(buffer.subarray(0, length), family, id);
    if (sequence !== undefined) answered.add(sequence);
  }
  return answered.size;
}

/** struct sockaddr_in, struct sockaddr_in6; no port */
function socketAddress(to: Ip): Uint8Array {
  const bytes = new Uint8Array(to.family === 4 ? 16 : 28);
  viewOf(bytes).setUint16(0, kinds[to.family].domain, true);
  bytes.set(ipBytes(to), to.family === 4 ? 4 : 8);
  return bytes;
}

/** struct icmphdr, struct icmp6hdr: type, code, checksum (the kernel's for ICMPv6), id, sequence; no data */
function echoRequest(family: 4 | 6, id: number, sequence: number): Uint8Array {
  const { request } = kinds[family];
  const bytes = Uint8Array.of(request, 0, 0, 0, id >> 8, id, sequence >> 8, sequence);
  const sum = (request << 8) + id + sequence;
  if (family === 4) viewOf(bytes).setUint16(2, ~((sum & 0xffff) + (sum >> 16)));
  return bytes;
}

/** The sequence of an answer to one of ours; of IPv4 the header comes with it. */
function sequenceOf(packet: Uint8Array, family: 4 | 6, id: number): number | undefined {
  const icmp = family === 4 ? packet.subarray((packet[0]! & 0x0f) * 4) : packet;
  if (icmp.length < 8 || icmp[0] !== kinds[family].reply) return undefined;
  const view = viewOf(icmp);
  return view.getUint16(4) === id ? view.getUint16(6) : undefined;
}

import { encodeUtf8, viewOf } from "../net/bytes.ts";
import type { Ip } from "../net/ip.ts";
import { host } from "./host.ts";
import { check, EAGAIN, EINTR, restart } from "./linux.ts";
import { SystemError } from "./system-error.ts";

/** asm-generic/errno.h */
const ENOPROTOOPT = 92;
const ENAMETOOLONG = 36;
const ECONNABORTED = 103;
/** linux/socket.h */
const MSG_DONTWAIT = 0x40;
const AF_UNIX = 1;
export const AF_INET = 2;
/** linux/un.h, without the zero at the end */
const UNIX_PATH_MAX = 107;

export const socket = (domain: number, type: number, protocol: number): number =>
  check(host.socket(domain, type, protocol), "socket");
export const bind = (fd: number, address: Uint8Array): void => void check(host.bind(fd, address), "bind");
/** Whom `send` sends to, and whom alone is received from. */
export const connect = (fd: number, address: Uint8Array): void => void check(host.connect(fd, address), "connect");
export const send = (fd: number, bytes: Uint8Array): number => restart(() => host.send(fd, bytes, 0), "send");

/** As `send`, to an address the socket is not connected to. */
export const sendTo = (fd: number, bytes: Uint8Array, address: Uint8Array): number =>
  restart(() => host.sendTo(fd, bytes, 0, address), "sendto");
export const listen = (fd: number, backlog: number): void => void check(host.listen(fd, backlog), "listen");

/** linux/socket.h: what every socket here is made with, and what a socket that others connect to has besides. */
export const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;

/** A connection that somebody asks for, not blocking; undefined when nobody does, or he went away. */
export function findConnection(fd: number): number | undefined {
  const result = host.accept(fd, SOCK.NONBLOCK | SOCK.CLOEXEC);
  if ([-EAGAIN, -ECONNABORTED].includes(result)) return undefined;
  return result === -EINTR ? findConnection(fd) : check(result, "accept");
}

/** struct sockaddr_un; ENAMETOOLONG where the path does not fit. */
export function unixAddress(path: string): Uint8Array {
  const name = encodeUtf8(path);
  if (name.length > UNIX_PATH_MAX) throw new SystemError("connect", ENAMETOOLONG, path);
  const bytes = new Uint8Array(2 + name.length + 1);
  bytes[0] = AF_UNIX;
  bytes.set(name, 2);
  return bytes;
}

/** A stream socket of the UNIX domain, not blocking. */
export const unixSocket = (): number => socket(AF_UNIX, SOCK.STREAM | SOCK.NONBLOCK | SOCK.CLOEXEC, 0);

/** struct sockaddr_in */
export function ipv4Address({ value }: Ip, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  view.setUint32(4, Number(value));
  return bytes;
}

/** Lets only those packets in that a classic BPF program (linux/filter.h) accepts. */
export const attachFilter = (fd: number, program: Uint8Array): void =>
  void check(host.attachFilter(fd, program), "setsockopt SO_ATTACH_FILTER");

/** Receives one datagram that is there already and returns its length; -1 when there is none. */
export function receiveNow(fd: number, buffer: Uint8Array): number {
  const length = host.recv(fd, buffer, MSG_DONTWAIT);
  if (length === -EAGAIN) return -1; // the usual end of a reply: an exception would cost more than the call
  return length === -EINTR ? receiveNow(fd, buffer) : check(length, "recv");
}

export const setsockopt = (fd: number, level: number, option: number, value: Uint8Array): void =>
  void check(host.setsockopt(fd, level, option, value), "setsockopt");

/** A socket option of `size` bytes, or undefined where the kernel does not know it (ENOPROTOOPT). */
export function findSockopt(fd: number, level: number, option: number, size: number): Uint8Array | undefined {
  const value = new Uint8Array(size);
  const length = new Uint8Array(4);
  viewOf(length).setUint32(0, size, true);
  const result = host.getsockopt(fd, level, option, value, length);
  if (result === -ENOPROTOOPT) return undefined;
  check(result, "getsockopt");
  return value;
}

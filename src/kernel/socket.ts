import { viewOf } from "../net/bytes.ts";
import { host } from "./host.ts";
import { check, EAGAIN, EINTR, restart } from "./linux.ts";

/** asm-generic/errno.h */
const ENOPROTOOPT = 92;
/** linux/socket.h */
const MSG_DONTWAIT = 0x40;

export const socket = (domain: number, type: number, protocol: number): number =>
  check(host.socket(domain, type, protocol), "socket");
export const bind = (fd: number, address: Uint8Array): void => void check(host.bind(fd, address), "bind");
/** Whom `send` sends to, and whom alone is received from. */
export const connect = (fd: number, address: Uint8Array): void => void check(host.connect(fd, address), "connect");
export const send = (fd: number, bytes: Uint8Array): number => restart(() => host.send(fd, bytes, 0), "send");

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

import { encodeHex, viewOf } from "../net/bytes.ts";
import { macFromBytes } from "../net/mac.ts";
import { host } from "./host.ts";
import { check } from "./linux.ts";

// The kernel's random numbers. Those of the language would be the same in every process: its generator is seeded when
// the executable is built.

/** At most 256 of them, which getrandom(2) gives at once. */
export function randomBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  check(host.getrandom(bytes), "getrandom");
  return bytes;
}

/** 32 bits. */
export const randomWord = (): number => viewOf(randomBytes(4)).getUint32(0, true);

/** From 0 to just below 1. */
export const randomFraction = (): number => randomWord() / 2 ** 32;

/** Version 4 of RFC 9562. */
export function randomUuid(): string {
  const bytes = randomBytes(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return encodeHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** A MAC of the locally administered, unicast kind (IEEE 802, the two low bits of the first byte). */
export function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return macFromBytes(bytes);
}

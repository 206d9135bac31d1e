import { decodeHex, encodeHex } from "./bytes.ts";

export type Family = 4 | 6;
export const families: readonly Family[] = [4, 6];

/** An address as a number: 32 bits for family 4, 128 for family 6. Two equal addresses have equal fields. */
export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

/** The families of these addresses, each once, in their order. */
export const familiesOf = (ips: readonly Ip[]): Family[] => [...new Set(ips.map(({ family }) => family))];

/** An address with its prefix length; host bits are kept (use `networkOf` to clear them). */
export interface Prefix {
  readonly ip: Ip;
  readonly length: number;
}

const bitsOf = { 4: 32, 6: 128 } as const;

/** Bits of an address of the family: 32 or 128. */
export const bits = (family: Family): 32 | 128 => bitsOf[family];

const group = /^[0-9a-fA-F]{1,4}$/;

/** ::ffff:0:0/96, the IPv6 spelling of IPv4 addresses (RFC 4291, 2.5.5.2). */
const MAPPED = 0xffffn;

/** An address in any spelling Go's net.ParseIP takes, or undefined; an IPv4-mapped IPv6 address is the IPv4 address. */
export function parseIp(text: string): Ip | undefined {
  if (!text.includes(":")) {
    const value = parseV4(text);
    return value === undefined ? undefined : { family: 4, value };
  }
  const value = parseV6(text);
  if (value === undefined) return undefined;
  return value >> 32n === MAPPED ? { family: 4, value: value & 0xffff_ffffn } : { family: 6, value };
}

function parseV4(text: string): bigint | undefined {
  const octets = text.split(".");
  if (octets.length !== 4) return undefined;
  let value = 0;
  for (const digits of octets) {
    const octet = Number(digits);
    // Not in its one plain spelling: "010" above all, which other programs read as eight (Go's net.ParseIP refuses it
    // too).
    if (String(octet) !== digits || !(octet >= 0 && octet <= 255) || octet % 1 !== 0) return undefined;
    value = value * 256 + octet;
  }
  return BigInt(value);
}

function parseV6(text: string): bigint | undefined {
  const hex = dottedTailAsHex(text);
  const halves = hex?.split("::").map((half) => (half === "" ? [] : half.split(":")));
  if (!halves || halves.length > 2) return undefined;
  const [head = [], tail = []] = halves;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...tail];
  if (!groups.every((digits) => group.test(digits))) return undefined;
  return BigInt(`0x${groups.map((digits) => digits.padStart(4, "0")).join("")}`);
}

/** `::1.2.3.4` as `::102:304`; other texts as they are; undefined when the tail is no IPv4 address. */
function dottedTailAsHex(text: string): string | undefined {
  const at = text.lastIndexOf(":") + 1;
  if (!text.includes(".", at)) return text;
  const value = parseV4(text.slice(at));
  return value === undefined
    ? undefined
    : `${text.slice(0, at)}${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
}

/** The one canonical text of an address: dotted decimal, or RFC 5952 in lower case. */
export function formatIp(ip: Ip): string {
  const bytes = ipBytes(ip);
  if (ip.family === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[i * 2]! << 8) | bytes[i * 2 + 1]!);
  const zeros = longestZeroRun(groups);
  const hex = (list: number[]): string => list.map((n) => n.toString(16)).join(":");
  // RFC 5952, 4.2: the longest run of zero groups, the first of several, and never a single one
  return zeros.length < 2
    ? hex(groups)
    : `${hex(groups.slice(0, zeros.at))}::${hex(groups.slice(zeros.at + zeros.length))}`;
}

function longestZeroRun(groups: number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 };
  let start = 0;
  groups.forEach((value, i) => {
    if (value !== 0) start = i + 1;
    else if (i + 1 - start > best.length) best = { at: start, length: i + 1 - start };
  });
  return best;
}

/** The address in network byte order: 4 or 16 bytes. */
export function ipBytes(ip: Ip): Uint8Array {
  if (ip.family === 6) return decodeHex(ip.value.toString(16).padStart(32, "0"));
  const value = Number(ip.value);
  return Uint8Array.of(value >>> 24, value >> 16, value >> 8, value);
}

/** The address whose 4 or 16 bytes, in network byte order, these are. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  }
  return { family: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${encodeHex(bytes)}`) };
}

/** The address `count` after (or, negative, before) this one; leaving the family's space is a RangeError. */
export function addToIp(ip: Ip, count: number | bigint): Ip {
  const value = ip.value + BigInt(count);
  if (value < 0n || value >> BigInt(bits(ip.family)) !== 0n) {
    throw new RangeError(`${formatIp(ip)} + ${count} is no address`);
  }
  return { family: ip.family, value };
}

/** For sorting: IPv4 before IPv6, then by number. */
export function compareIps(a: Ip, b: Ip): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

export const sameIp = (a: Ip, b: Ip): boolean => a.family === b.family && a.value === b.value;

/** 0.0.0.0 and ::, which as a gateway mean that there is none. */
export const isUnspecified = ({ value }: Ip): boolean => value === 0n;

/** Each address once, at its first place. */
export const uniqueIps = (ips: readonly Ip[]): Ip[] =>
  ips.filter((ip, at) => ips.findIndex((other) => sameIp(ip, other)) === at);

/** 169.254.0.0/16 or fe80::/10. */
export const isLinkLocal = (ip: Ip): boolean =>
  ip.family === 4 ? ip.value >> 16n === 0xa9fen : ip.value >> 118n === 0x3fan;

/** What is before the IPv4 address in `::ffff:a.b.c.d`. */
const MAPPED_BITS = 96;

/**
 * `address/length` as Go's net.ParseCIDR reads it, host bits kept, or undefined. Of an IPv4-mapped IPv6 address the
 * length counts its 96 bits before the IPv4 address as well.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  const digits = text.slice(slash + 1);
  const address = slash < 0 ? "" : text.slice(0, slash);
  const ip = parseIp(address);
  const written = Number(digits);
  // the plain spelling first: compiling a pattern takes longer than the rest
  if (!ip || (String(written) !== digits && !/^\d+$/.test(digits))) return undefined;
  const length = ip.family === 4 && address.includes(":") ? written - MAPPED_BITS : written;
  return length >= 0 && length <= bits(ip.family) && length % 1 === 0 ? { ip, length } : undefined;
}

export const formatPrefix = (prefix: Prefix): string => `${formatIp(prefix.ip)}/${prefix.length}`;

/** The address alone, as the narrowest prefix: /32 or /128. */
export const hostPrefix = (ip: Ip): Prefix => ({ ip, length: bits(ip.family) });

/** 0.0.0.0/0 or ::/0. */
export const defaultPrefix = (family: Family): Prefix => ({ ip: { family, value: 0n }, length: 0 });

const hostMask = (prefix: Prefix): bigint => (1n << BigInt(bits(prefix.ip.family) - prefix.length)) - 1n;

/** The prefix with its host bits cleared. */
export const networkOf = (prefix: Prefix): Prefix => ({
  ip: { family: prefix.ip.family, value: prefix.ip.value & ~hostMask(prefix) },
  length: prefix.length,
});

/** The last address of the prefix's network: for IPv4 the broadcast address. */
export const broadcastOf = (prefix: Prefix): Ip => ({
  family: prefix.ip.family,
  value: prefix.ip.value | hostMask(prefix),
});

/** True when the address is in the prefix's network. */
export const contains = (prefix: Prefix, ip: Ip): boolean =>
  prefix.ip.family === ip.family && (prefix.ip.value | hostMask(prefix)) === (ip.value | hostMask(prefix));

export const samePrefix = (a: Prefix, b: Prefix): boolean => a.length === b.length && sameIp(a.ip, b.ip);

/** True for a prefix that holds every address of its family. */
export const isDefault = (prefix: Prefix): boolean => prefix.length === 0;

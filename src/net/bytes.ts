import { compareBytes, encodeUtf8 } from "#primitives";

export {
  compareBytes,
  decodeCString,
  decodeUtf8,
  encodeHex,
  encodeUtf8,
  findAttribute,
  includesAttributes,
  indexOfBytes,
} from "#primitives";

/** The bytes that pairs of hex digits spell. */
export function decodeHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The bytes that base64 text (RFC 4648, section 4) spells; undefined for text that is none. */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const digits = text.replace(/=+$/, "");
  const bytes = new Uint8Array((digits.length * 3) >> 2);
  let held = 0;
  for (let at = 0, out = 0; at < digits.length; at++) {
    held = (held << 6) | BASE64.indexOf(digits[at]!);
    if (at % 4 !== 0) bytes[out++] = held >> (6 - 2 * (at % 4));
    held &= 0xffff;
  }
  return bytes;
}

/** All of them, one after the other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => compareBytes(a, b) === 0;

/** How many bytes the text has in UTF-8. */
export const utf8Length = (text: string): number => encodeUtf8(text).length;

/** Reads and writes numbers of a structure; outside of the bytes it is a RangeError. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Bytes in base64 (RFC 4648, section 4), with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const bits = (a! << 16) | (b << 8) | c;
    text += [18, 12, 6, 0].map((shift) => BASE64[(bits >> shift) & 63]).join("");
  }
  const missing = (3 - (bytes.length % 3)) % 3;
  return missing === 0 ? text : text.slice(0, -missing) + "=".repeat(missing);
}

/**
 * Loops over bytes that an interpreter is slow at. These run wherever JavaScript does; in the executable the engine's
 * own take their place (`#primitives` in package.json), and a test holds the two to each other.
 */

/** Text as UTF-8; half of a surrogate pair becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), tail(code));
    else if (code >= 0xd800 && code < 0xe000) bytes.push(0xef, 0xbf, 0xbd);
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), tail(code >> 6), tail(code));
    else bytes.push(0xf0 | (code >> 18), tail(code >> 12), tail(code >> 6), tail(code));
  }
  return Uint8Array.from(bytes);
}

const tail = (bits: number): number => 0x80 | (bits & 0x3f);

/**
 * UTF-8 as text; each maximal part of a sequence that is none becomes one U+FFFD, as the WHATWG's Encoding Standard has
 * it.
 */
export function decodeUtf8(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const { code, length } = decodeOne(bytes, at);
    text += String.fromCodePoint(code);
    at += length;
  }
  return text;
}

/** The character at `at`, or U+FFFD and how many bytes it stands for. */
function decodeOne(bytes: Uint8Array, at: number): { code: number; length: number } {
  const first = bytes[at]!;
  if (first < 0x80) return { code: first, length: 1 };
  const size =
    first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 1;
  let code = first & (0xff >> (size + 1));
  let length = 1;
  for (; length < size; length++) {
    const byte = bytes[at + length] ?? 0;
    // no overlong form, no surrogate, nothing above U+10FFFF: the second byte tells
    const [least, most] =
      length > 1
        ? [0x80, 0xbf]
        : [first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80, first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf];
    if (byte < least || byte > most) break;
    code = (code << 6) | (byte & 0x3f);
  }
  return size === 1 || length < size ? { code: 0xfffd, length } : { code, length };
}

/** Where `wanted` first begins in `bytes`, at `from` or later; -1 where it does not. */
export function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array, from = 0): number {
  if (wanted.length === 0) return from <= bytes.length ? from : -1;
  for (let at = from; ; at++) {
    at = bytes.indexOf(wanted[0]!, at); // far faster than a loop
    if (at < 0 || at + wanted.length > bytes.length) return -1;
    let length = 1;
    while (length < wanted.length && bytes[at + length] === wanted[length]) length++;
    if (length === wanted.length) return at;
  }
}

/** Less than 0, 0, or more, as memcmp(3) and then the length have it. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let at = 0; at < a.length && at < b.length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!;
  return a.length - b.length;
}

/** Two hex digits a byte, in lower case. */
export function encodeHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}

/**
 * Where in a list of netlink attributes (struct nlattr { u16 nla_len; u16 nla_type; }, each padded to 4 bytes, of which
 * the type's two highest bits are flags) the one of a type begins, the last of several; -1 where there is none. One
 * that is cut short ends the list, as for the kernel (nla_ok).
 */
export function findAttribute(payload: Uint8Array, type: number): number {
  let found = -1;
  for (let at = 0; at + 4 <= payload.length;) {
    const length = payload[at]! | (payload[at + 1]! << 8);
    if (length < 4 || at + length > payload.length) break;
    if (((payload[at + 2]! | (payload[at + 3]! << 8)) & 0x3fff) === type) found = at;
    at += (length + 3) & ~3;
  }
  return found;
}

/** The text from `start` up to a NUL, or to `end`. */
export function decodeCString(bytes: Uint8Array, start: number, end: number): string {
  const nul = bytes.indexOf(0, start);
  return decodeUtf8(bytes.subarray(start, nul < 0 || nul > end ? end : nul));
}

/**
 * True when a list of netlink attributes says all that another one says: each attribute of `wanted` is in `payload`,
 * with the same bytes or, where `wanted` flags it as nested (NLA_F_NESTED), with attributes that say all that its own
 * say.
 */
export function includesAttributes(payload: Uint8Array, wanted: Uint8Array): boolean {
  for (let at = 0; at + 4 <= wanted.length;) {
    const length = wanted[at]! | (wanted[at + 1]! << 8);
    const type = wanted[at + 2]! | (wanted[at + 3]! << 8);
    const there = findAttribute(payload, type & 0x3fff);
    if (length < 4 || at + length > wanted.length || there < 0) return false;
    const own = wanted.subarray(at + 4, at + length);
    const found = payload.subarray(there + 4, there + (payload[there]! | (payload[there + 1]! << 8)));
    if (type & 0x8000 ? !includesAttributes(found, own) : compareBytes(found, own) !== 0) return false;
    at += (length + 3) & ~3;
  }
  return true;
}

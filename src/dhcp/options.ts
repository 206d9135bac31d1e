import { concatBytes, viewOf } from "../net/bytes.ts";
import { type Ip, ipFromBytes } from "../net/ip.ts";

/** RFC 2132; 121 is RFC 3442's, 77 RFC 3004's. */
export const Option = {
  PAD: 0,
  SUBNET_MASK: 1,
  ROUTER: 3,
  HOST_NAME: 12,
  STATIC_ROUTE: 33,
  REQUESTED_ADDRESS: 50,
  LEASE_TIME: 51,
  OVERLOAD: 52,
  MESSAGE_TYPE: 53,
  SERVER_ID: 54,
  PARAMETER_LIST: 55,
  MESSAGE: 56,
  MAX_MESSAGE_SIZE: 57,
  RENEWAL_TIME: 58,
  REBINDING_TIME: 59,
  VENDOR_CLASS: 60,
  CLIENT_ID: 61,
  USER_CLASS: 77,
  CLASSLESS_ROUTES: 121,
  END: 255,
} as const;

/** Options by their numbers; of one that comes in pieces, all of them together (RFC 3396). */
export type Options = ReadonlyMap<number, Uint8Array>;

/** The most an option can say. */
export const LONGEST = 255;

/** Options in their order, and the end; each has at most 255 bytes. */
export const encodeOptions = (options: Options): Uint8Array =>
  concatBytes([
    ...[...options].flatMap(([code, value]) => [Uint8Array.of(code, value.length), value]),
    Uint8Array.of(Option.END),
  ]);

/** What a field of options says, up to its end, or to an option that would go beyond it. */
export function decodeOptions(fields: readonly Uint8Array[]): Options {
  const found = new Map<number, Uint8Array[]>();
  for (const field of fields) {
    for (let at = 0; at < field.length;) {
      const code = field[at]!;
      if (code === Option.END) break;
      if (code === Option.PAD) {
        at += 1;
        continue;
      }
      const end = at + 2 + (field[at + 1] ?? LONGEST);
      if (end > field.length) break;
      const pieces = found.get(code);
      const piece = field.slice(at + 2, end);
      if (pieces) pieces.push(piece);
      else found.set(code, [piece]);
      at = end;
    }
  }
  return new Map([...found].map(([code, pieces]) => [code, pieces.length === 1 ? pieces[0]! : concatBytes(pieces)]));
}

/** The first address of an option that lists some. */
export function findAddress(options: Options, code: number): Ip | undefined {
  const value = options.get(code);
  return value && value.length >= 4 ? ipFromBytes(value.subarray(0, 4)) : undefined;
}

/** An option that is a number of seconds. */
export function findSeconds(options: Options, code: number): number | undefined {
  const value = options.get(code);
  return value?.length === 4 ? viewOf(value).getUint32(0) : undefined;
}

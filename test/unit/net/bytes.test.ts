import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as bytes from "../../../src/net/bytes.ts";

// Node's own functions judge ours; the engine's, which take the place of some of them in the executable, must do the
// same.

const array = fc.uint8Array({ maxLength: 80 });
/** Few different bytes, so that one occurs in the other. */
const repetitive = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 40 }).map((list) => Uint8Array.from(list));
/** Half characters too, which no UTF-8 can say. */
const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom("a", "ä", "€", "😀", "\ufeff", "\0"),
    fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
  ),
  maxLength: 60,
});
/** Bytes that nearly are UTF-8: leading bytes, continuations and the borders of what they may be. */
const nearlyText = fc
  .array(
    fc.constantFrom(
      0x00,
      0x41,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc0,
      0xc1,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
      0xff,
      0xbb,
      0x9f,
    ),
    { maxLength: 12 },
  )
  .map((list) => Uint8Array.from(list));
const plain = (buffer: Uint8Array): Uint8Array => Uint8Array.from(buffer);

describe("text", () => {
  test("is encoded as Node does it", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(bytes.encodeUtf8(text)).toEqual(plain(new TextEncoder().encode(text)));
        expect(bytes.utf8Length(text)).toBe(Buffer.byteLength(text));
      }),
      { numRuns: 1000 },
    );
  });

  test("is decoded as Node does it, whatever the bytes", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          array,
          nearlyText,
          anyText.map((text) => plain(Buffer.from(text))),
        ),
        (some) => {
          expect(bytes.decodeUtf8(some)).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(some));
        },
      ),
      { numRuns: 3000 },
    );
  });

  test("comes from a part of bytes alone", () => {
    expect(bytes.decodeUtf8(bytes.encodeUtf8("xxäyy").subarray(2, 4))).toBe("ä");
  });
});

describe("bytes", () => {
  test("are found as in a Buffer", () => {
    fc.assert(
      fc.property(
        fc.oneof(repetitive, array),
        fc.oneof(repetitive, fc.uint8Array({ maxLength: 3 })),
        fc.nat(50),
        (some, wanted, from) => {
          const at = Math.min(from, some.length);
          expect(bytes.indexOfBytes(some, wanted)).toBe(Buffer.from(some).indexOf(wanted));
          expect(bytes.indexOfBytes(some, wanted, at)).toBe(Buffer.from(some).indexOf(wanted, at));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("are found where they are cut out of others", () => {
    fc.assert(
      fc.property(array, fc.nat(80), fc.nat(80), (some, a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const part = some.subarray(from, to);
        expect(bytes.indexOfBytes(some, part)).toBe(Buffer.from(some).indexOf(Buffer.from(part)));
      }),
    );
  });

  test("are compared as Buffers are", () => {
    fc.assert(
      fc.property(fc.oneof(repetitive, array), fc.oneof(repetitive, array), (a, b) => {
        expect(Math.sign(bytes.compareBytes(a, b))).toBe(Buffer.compare(a, b));
        expect(bytes.sameBytes(a, b)).toBe(Buffer.from(a).equals(b));
        expect(bytes.sameBytes(a, plain(a))).toBe(true);
      }),
    );
  });

  test("are hex and back", () => {
    fc.assert(
      fc.property(array, (some) => {
        expect(bytes.encodeHex(some)).toBe(Buffer.from(some).toString("hex"));
        expect(bytes.decodeHex(bytes.encodeHex(some))).toEqual(some);
        expect(bytes.decodeHex(bytes.encodeHex(some).toUpperCase())).toEqual(some);
      }),
    );
  });

  test("are put one after the other, in bytes of their own", () => {
    fc.assert(
      fc.property(fc.array(array, { maxLength: 5 }), (parts) => {
        const all = bytes.concatBytes(parts);
        expect(all).toEqual(plain(Buffer.concat(parts)));
        expect(parts.every((part) => part.buffer !== all.buffer)).toBe(true);
      }),
    );
  });

  test("are numbers only inside", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 20 }), fc.nat(12), (some, at) => {
        const part = some.subarray(2);
        const [view, buffer] = [bytes.viewOf(part), Buffer.from(part)];
        if (at + 4 > part.length) expect(() => view.getUint32(at, true)).toThrow(RangeError);
        else {
          expect([view.getUint32(at, true), view.getUint32(at), view.getInt32(at, true), view.getUint16(at)]).toEqual([
            buffer.readUInt32LE(at),
            buffer.readUInt32BE(at),
            buffer.readInt32LE(at),
            buffer.readUInt16BE(at),
          ]);
        }
      }),
    );
  });
});

describe("a C string", () => {
  test("ends at its NUL, or where its room ends", () => {
    fc.assert(
      fc.property(repetitive, fc.nat(45), fc.nat(45), (some, a, b) => {
        const [start, end] = [Math.min(a, b, some.length), Math.min(Math.max(a, b), some.length)];
        const room = Buffer.from(some.subarray(start, end));
        expect(bytes.decodeCString(some, start, end)).toBe(room.toString("latin1").split("\0")[0]);
      }),
    );
  });
});

describe("attributes of netlink", () => {
  /** Types and payloads as the kernel lists them; the npm package netlink is the judge of where each begins. */
  const list = fc.array(fc.tuple(fc.constantFrom(1, 2, 3, 0x8004), fc.uint8Array({ maxLength: 9 })), { maxLength: 8 });
  const encode = (attributes: [number, Uint8Array][]): Uint8Array =>
    Uint8Array.from(
      attributes.flatMap(([type, data]) => {
        const length = data.length + 4;
        return [length, 0, type & 255, type >> 8, ...data, ...Array<number>(-length & 3).fill(0)];
      }),
    );

  test("are found by their type, whatever its flags: the last of several", () => {
    fc.assert(
      fc.property(list, fc.constantFrom(1, 2, 3, 4), (attributes, type) => {
        const last = attributes.findLastIndex(([each]) => (each & 0x3fff) === type);
        const at = bytes.findAttribute(encode(attributes), type);
        expect(at).toBe(last < 0 ? -1 : encode(attributes.slice(0, last)).length);
      }),
    );
  });

  test("end at one that is cut short or says that it is shorter than its header", () => {
    const whole = encode([
      [1, Uint8Array.of(1, 2, 3, 4)],
      [2, Uint8Array.of(5, 6, 7, 8)],
    ]);
    expect([...whole.keys()].map((length) => bytes.findAttribute(whole.subarray(0, length), 2))).toEqual(
      Array(16).fill(-1),
    );
    expect(bytes.findAttribute(whole, 2)).toBe(8);
    expect(bytes.findAttribute(Uint8Array.of(3, 0, 1, 0, 8, 0, 2, 0, 1, 1, 1, 1), 2)).toBe(-1);
    fc.assert(
      fc.property(
        array,
        fc.nat(0x3fff),
        (some, type) => bytes.findAttribute(some, type) < Math.max(1, some.length - 3),
      ),
    );
  });

  test("include others where each is there with the same content, nested ones by what they say", () => {
    const inner = encode([
      [1, Uint8Array.of(1)],
      [2, Uint8Array.of(2)],
    ]);
    const says = (payload: Uint8Array, wanted: Uint8Array): boolean => bytes.includesAttributes(payload, wanted);
    const more = encode([
      [3, Uint8Array.of(9)],
      [4, inner],
    ]);
    expect(says(more, encode([]))).toBe(true);
    expect(says(more, encode([[3, Uint8Array.of(9)]]))).toBe(true);
    expect(says(more, encode([[3, Uint8Array.of(8)]]))).toBe(false);
    expect(says(more, encode([[5, Uint8Array.of(9)]]))).toBe(false);
    expect(says(more, encode([[0x8004, encode([[2, Uint8Array.of(2)]])]]))).toBe(true);
    expect(says(more, encode([[0x8004, encode([[2, Uint8Array.of(1)]])]]))).toBe(false);
    expect(says(more, encode([[4, encode([[2, Uint8Array.of(2)]])]]))).toBe(false);
    fc.assert(
      fc.property(list, (attributes) => {
        const last = [...new Map(attributes.map(([type, data]) => [type & 0x3fff, data]))];
        expect(says(encode(attributes), encode(last))).toBe(true);
      }),
    );
  });
});

describe("base64", () => {
  test("is read as Node reads it", () => {
    fc.assert(
      fc.property(array, (given) => {
        expect(bytes.decodeBase64(Buffer.from(given).toString("base64"))).toEqual(given);
      }),
    );
  });

  test.each(["a", "ab=c", "a===", "abc-", "ab\ncd"])("%j is none", (text) => {
    expect(bytes.decodeBase64(text)).toBeUndefined();
  });
});

import fc from "fast-check";
import * as oracle from "netlink/dist/structs";
import { describe, expect, test } from "vitest";
import {
  attribute,
  be16,
  be32,
  be64,
  decodeAttributes,
  decodeList,
  decodeText,
  nested,
  text,
  u16,
  u32,
  u64,
  u8,
  word,
} from "../../../src/netlink/codec.ts";
import { decodeMessages, encodeMessage } from "../../../src/netlink/message.ts";

// The npm package netlink judges our codec.

// Bytes that are not Node's Buffer, as in the engine.
const bytes = fc.uint8Array({ maxLength: 70 });
const plain = (buffer: Uint8Array): Uint8Array => Uint8Array.from(buffer);
const type = fc.integer({ min: 1, max: 0x3fff });
const u32s = fc.integer({ min: 0, max: 0xffff_ffff });
const theirs = (what: oracle.NetlinkAttribute_): Uint8Array =>
  plain(Buffer.concat(oracle.pad(oracle.formatAttribute(what))));
const joined = (pieces: Uint8Array[]): Uint8Array => plain(Buffer.concat(pieces));
/** The package has none. */
const bigEndian64 = (value: bigint): Buffer => oracle.putU64(value).reverse();

describe("attributes are encoded as the netlink package does it", () => {
  test("plain ones, in pieces, padded", () => {
    fc.assert(
      fc.property(
        type,
        bytes,
        bytes,
        (number, a, b) =>
          void expect(joined(attribute(number, a, [b]))).toEqual(
            theirs({ type: number, data: [Buffer.from(a), Buffer.from(b)] }),
          ),
      ),
    );
  });

  test("nested ones", () => {
    fc.assert(
      fc.property(
        type,
        type,
        bytes,
        (outer, inner, data) =>
          void expect(joined(nested(outer, attribute(inner, data)))).toEqual(
            theirs({ type: outer, nested: true, data: Buffer.from(theirs({ type: inner, data: Buffer.from(data) })) }),
          ),
      ),
    );
  });

  test("numbers and text", () => {
    fc.assert(
      fc.property(type, u32s, fc.string(), (number, value, some) => {
        expect(joined(u8(number, value & 0xff))).toEqual(theirs({ type: number, data: oracle.putU8(value & 0xff) }));
        expect(joined(u16(number, value & 0xffff))).toEqual(
          theirs({ type: number, data: oracle.putU16(value & 0xffff) }),
        );
        expect(joined(u32(number, value))).toEqual(theirs({ type: number, data: oracle.putU32(value) }));
        expect(joined(u64(number, BigInt(value) << 20n))).toEqual(
          theirs({ type: number, data: oracle.putU64(BigInt(value) << 20n) }),
        );
        expect(joined(be16(number, value & 0xffff))).toEqual(
          theirs({ type: number, data: oracle.putU16be(value & 0xffff) }),
        );
        expect(joined(be32(number, value))).toEqual(theirs({ type: number, data: oracle.putU32be(value) }));
        expect(joined(be64(number, BigInt(value) << 20n))).toEqual(
          theirs({ type: number, data: bigEndian64(BigInt(value) << 20n) }),
        );
        expect(word(value)).toEqual(plain(oracle.putU32(value)));
        expect(joined(text(number, some))).toEqual(theirs({ type: number, data: oracle.putString(some) }));
      }),
    );
  });

  test("too long ones are refused by both", () => {
    const data = Buffer.alloc(0x1_0000);
    expect(() => attribute(1, data)).toThrow(RangeError);
    expect(() => theirs({ type: 1, data })).toThrow("Maximum attribute length exceeded");
  });
});

describe("what the netlink package encodes is decoded", () => {
  test("attributes: the last of a type counts", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(type, bytes), { maxLength: 8 }), (pairs) => {
        const found = decodeAttributes(
          joined(pairs.map(([number, data]) => theirs({ type: number, data: Buffer.from(data) }))),
        );
        for (const [number, data] of new Map(pairs)) expect(found.get(number)).toEqual(data);
        expect([...found].map(([number]) => number).sort()).toEqual([...new Map(pairs).keys()].sort());
      }),
    );
  });

  test("numbers, where the attribute is long enough for one", () => {
    fc.assert(
      fc.property(type, u32s, (number, value) => {
        const of = (data: Buffer) => decodeAttributes(theirs({ type: number, data }));
        expect(of(oracle.putU8(value & 0xff)).u8(number)).toBe(value & 0xff);
        expect(of(oracle.putU32(value)).u32(number)).toBe(value);
        expect(of(oracle.putU16be(value & 0xffff)).be16(number)).toBe(value & 0xffff);
        expect(of(oracle.putU32be(value)).be32(number)).toBe(value);
        expect(of(bigEndian64(BigInt(value) << 20n)).be64(number)).toBe(BigInt(value) << 20n);
        expect(of(oracle.putString("word")).text(number)).toBe("word");
        const short = of(Buffer.alloc(1));
        for (const read of [
          () => short.u32(number),
          () => short.be16(number),
          () => short.be32(number),
          () => short.be64(number),
        ]) {
          expect(read).toThrow(RangeError);
        }
        expect([short.u32(number ^ 1), short.be32(number ^ 1), short.get(number ^ 1), short.text(number ^ 1)]).toEqual([
          undefined,
          undefined,
          undefined,
          "",
        ]);
      }),
    );
  });

  test("attributes of an attribute, none where it is missing", () => {
    const outer = decodeAttributes(joined(nested(7, u32(1, 5), text(2, "x"))));
    expect([outer.nested(7).u32(1), outer.nested(7).text(2), outer.nested(8).has(1)]).toEqual([5, "x", false]);
  });

  test("lists keep their order, texts end at their zero", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), fc.stringMatching(/^[a-z]{0,20}$/), (items, word) => {
        expect(decodeList(joined(items.map((data) => theirs({ type: 1, data: Buffer.from(data) }))))).toEqual(items);
        expect(decodeText(plain(oracle.putString(word)))).toBe(word);
      }),
    );
  });

  test("messages, several in a datagram", () => {
    const message = fc.record({ type, flags: fc.integer({ min: 0, max: 0xffff }), seq: u32s, data: bytes });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const datagram = joined(
          messages.flatMap((each) =>
            oracle.pad(oracle.formatMessage({ ...each, port: 0, data: Buffer.from(each.data) })),
          ),
        );
        expect(decodeMessages(datagram)).toEqual(messages);
      }),
    );
  });

  test("cut anywhere: what is whole", () => {
    const whole = joined([...u32(1, 1), ...text(2, "two"), ...u32(3, 3)]);
    expect(
      Array.from({ length: whole.length + 1 }, (_, length) => [...decodeAttributes(whole.subarray(0, length))].length),
    ).toEqual(
      Array.from({ length: whole.length + 1 }, (_, length) => (length < 8 ? 0 : length < 16 ? 1 : length < 24 ? 2 : 3)),
    );
  });

  test("and requests are theirs", () => {
    fc.assert(
      fc.property(
        type,
        u32s,
        bytes,
        (number, seq, data) =>
          void expect(joined(encodeMessage({ type: number, flags: 0x400, data: [data], what: "" }, seq))).toEqual(
            joined(oracle.formatMessage({ type: number, flags: 0x401, seq, port: 0, data: Buffer.from(data) })),
          ),
      ),
    );
  });

  test("cut ones end the list instead of never ending", () => {
    fc.assert(
      fc.property(bytes, (noise) => {
        expect(decodeMessages(noise).length).toBeLessThanOrEqual(noise.length / 16);
        expect([...decodeAttributes(noise)].length).toBeLessThanOrEqual(noise.length / 4);
        expect(decodeList(noise).length).toBeLessThanOrEqual(noise.length / 4);
      }),
    );
  });
});

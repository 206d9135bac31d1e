import fc from "fast-check";
import * as oracle from "netlink/dist/structs";
import { describe, expect, test } from "vitest";
import { attribute, be16, be32, decodeAttributes, decodeList, decodeMessages, decodeText, encodeMessage, nested, text, u16, u32, u64, u8 } from "../../../src/kernel/netlink-codec.ts";

// The npm package netlink judges our codec, which stands in for it because it loads in no time.

const bytes = fc.uint8Array({ maxLength: 70 }).map((array) => Buffer.from(array));
const type = fc.integer({ min: 1, max: 0x3fff });
const u32s = fc.integer({ min: 0, max: 0xffff_ffff });
const theirs = (what: oracle.NetlinkAttribute_): Buffer => Buffer.concat(oracle.pad(oracle.formatAttribute(what)));
const ours = (pieces: Uint8Array[]): Buffer => Buffer.concat(pieces);

describe("attributes are encoded as the netlink package does it", () => {
  test("plain ones, in pieces, padded", () => {
    fc.assert(fc.property(type, bytes, bytes, (number, a, b) => void expect(ours(attribute(number, a, [b]))).toEqual(theirs({ type: number, data: [a, b] }))));
  });

  test("nested ones", () => {
    fc.assert(
      fc.property(type, type, bytes, (outer, inner, data) =>
        void expect(ours(nested(outer, attribute(inner, data)))).toEqual(theirs({ type: outer, nested: true, data: [theirs({ type: inner, data })] })),
      ),
    );
  });

  test("numbers and text", () => {
    fc.assert(
      fc.property(type, u32s, fc.string(), (number, value, word) => {
        expect(ours(u8(number, value & 0xff))).toEqual(theirs({ type: number, data: oracle.putU8(value & 0xff) }));
        expect(ours(u16(number, value & 0xffff))).toEqual(theirs({ type: number, data: oracle.putU16(value & 0xffff) }));
        expect(ours(u32(number, value))).toEqual(theirs({ type: number, data: oracle.putU32(value) }));
        expect(ours(u64(number, BigInt(value) << 20n))).toEqual(theirs({ type: number, data: oracle.putU64(BigInt(value) << 20n) }));
        expect(ours(be16(number, value & 0xffff))).toEqual(theirs({ type: number, data: oracle.putU16be(value & 0xffff) }));
        expect(ours(be32(number, value))).toEqual(theirs({ type: number, data: oracle.putU32be(value) }));
        expect(ours(text(number, word))).toEqual(theirs({ type: number, data: oracle.putString(word) }));
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
        const found = decodeAttributes(Buffer.concat(pairs.map(([number, data]) => theirs({ type: number, data }))));
        for (const [number, data] of new Map(pairs)) expect(found.get(number)).toEqual(data);
        expect([...found].map(([number]) => number).sort()).toEqual([...new Map(pairs).keys()].sort());
      }),
    );
  });

  test("lists keep their order, texts end at their zero", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), fc.stringMatching(/^[a-z]{0,20}$/), (items, word) => {
        expect(decodeList(Buffer.concat(items.map((data) => theirs({ type: 1, data }))))).toEqual(items);
        expect(decodeText(oracle.putString(word))).toBe(word);
      }),
    );
  });

  test("messages, several in a datagram", () => {
    const message = fc.record({ type, flags: fc.integer({ min: 0, max: 0xffff }), seq: u32s, data: bytes });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
        const datagram = Buffer.concat(messages.flatMap((each) => oracle.pad(oracle.formatMessage({ ...each, port: 0 }))));
        expect(decodeMessages(datagram)).toEqual(messages);
      }),
    );
  });

  test("and requests are theirs", () => {
    fc.assert(
      fc.property(type, u32s, bytes, (number, seq, data) =>
        void expect(ours(encodeMessage({ type: number, flags: 0x400, data: [data], what: "" }, seq))).toEqual(Buffer.concat(oracle.formatMessage({ type: number, flags: 0x401, seq, port: 0, data }))),
      ),
    );
  });

  test("cut ones end the list instead of never ending", () => {
    fc.assert(
      fc.property(bytes, (noise) => {
        expect(Array.isArray(decodeMessages(noise))).toBe(true);
        expect([...decodeAttributes(noise)].length).toBeLessThanOrEqual(noise.length / 4);
      }),
    );
  });
});

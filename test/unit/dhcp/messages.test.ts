import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { optionsOf } from "../../../src/dhcp/asked.ts";
import { decodeMessage, encodeMessage } from "../../../src/dhcp/message.ts";
import { decodeOptions, encodeOptions, findAddress, findSeconds, Option } from "../../../src/dhcp/options.ts";
import { decodeFrame, encodeFrame } from "../../../src/dhcp/packet.ts";
import { decodeUtf8, encodeHex } from "../../../src/net/bytes.ts";
import { formatIp, parseIp } from "../../../src/net/ip.ts";

const mac = "0a:58:0a:09:00:02";
const client = { network: "net", containerId: "c1", ifname: "eth0" };
const asked = { provide: new Map<number, Uint8Array>(), request: [3, 1] };

/** A server's message with these options, after the fixed part. */
function reply(options: number[], { sname = [] as number[], file = [] as number[] } = {}): Uint8Array {
  const bytes = new Uint8Array(240 + options.length);
  bytes.set([2, 1, 6, 0, 1, 2, 3, 4]);
  bytes.set([10, 9, 0, 7], 16);
  bytes.set([0x0a, 0x58, 0x0a, 9, 0, 2], 28);
  bytes.set(sname, 44);
  bytes.set(file, 108);
  bytes.set([0x63, 0x82, 0x53, 0x63], 236);
  bytes.set(options, 240);
  return bytes;
}

describe("messages", () => {
  test("a DISCOVER is what RFC 2131 has", () => {
    const options = optionsOf(client, asked, { type: "DISCOVER" });
    const bytes = encodeMessage({ xid: 0x01020304, seconds: 7, broadcast: true, mac, options });
    expect(bytes.length).toBe(300);
    expect(encodeHex(bytes.subarray(0, 34))).toBe(`010106000102030400078000${"00".repeat(16)}0a580a090002`);
    expect(encodeHex(bytes.subarray(236, 244))).toBe("638253633501013d");
    const said = decodeOptions([bytes.subarray(240)]);
    expect([...said.keys()]).toEqual([53, 61, 57, 55]);
    expect(decodeUtf8(said.get(Option.CLIENT_ID)!)).toBe("\0c1/net/eth0");
    expect([...said.get(Option.PARAMETER_LIST)!]).toEqual([3, 1]);
  });

  test("what is provided is said in every message, its client identifier in RELEASE too; it changes no kind", () => {
    const provide = new Map([
      [12, Uint8Array.of(104)],
      [61, Uint8Array.of(9)],
      [53, Uint8Array.of(7)],
    ]);
    const server = parseIp("10.9.0.1")!;
    const request = optionsOf(client, { provide, request: [] }, { type: "REQUEST", server, address: server });
    expect([...request].map(([code, value]) => [code, [...value]])).toEqual([
      [53, [3]],
      [61, [9]],
      [57, [5, 220]],
      [12, [104]],
      [54, [10, 9, 0, 1]],
      [50, [10, 9, 0, 1]],
    ]);
    expect([...optionsOf(client, { provide, request: [3] }, { type: "RELEASE", server }).keys()]).toEqual([53, 61, 54]);
  });

  test("a client identifier ends at 255 bytes", () => {
    const long = { ...client, containerId: "c".repeat(300) };
    expect(optionsOf(long, asked, { type: "DISCOVER" }).get(Option.CLIENT_ID)!.length).toBe(255);
  });

  test("a server's answer is read, options from sname and file as well, those in pieces put together", () => {
    const answer = decodeMessage(
      reply([53, 1, 5, 52, 1, 3, 121, 2, 8, 10, 255], {
        file: [121, 3, 10, 9, 0, 255],
        sname: [3, 4, 10, 9, 0, 1, 255],
      }),
    )!;
    expect(answer).toMatchObject({ type: 5, xid: 0x01020304, mac });
    expect(formatIp(answer.yourAddress)).toBe("10.9.0.7");
    expect([...answer.options.get(121)!]).toEqual([8, 10, 10, 9, 0]);
    expect(formatIp(findAddress(answer.options, 3)!)).toBe("10.9.0.1");
  });

  test.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array(0)],
    ["one that is too short", reply([]).subarray(0, 239)],
    ["one of a client", reply([53, 1, 5, 255]).with(0, 1)],
    ["one without the cookie", reply([53, 1, 5, 255]).with(236, 0)],
    ["one of other hardware", reply([53, 1, 5, 255]).with(2, 8)],
    ["one without a type", reply([3, 4, 10, 9, 0, 1, 255])],
    ["one whose type has two bytes", reply([53, 2, 5, 5, 255])],
    ["one whose type goes beyond the end", reply([53, 9, 5])],
    ["one whose type stands behind the end", reply([255, 53, 1, 5])],
  ])("%s is none", (_what, bytes) => {
    expect(decodeMessage(bytes)).toBeUndefined();
  });

  test("an option that goes beyond the end ends the list; the ones before count", () => {
    expect([...decodeOptions([Uint8Array.of(0, 1, 2, 9, 9, 3, 200, 1)])]).toEqual([[1, Uint8Array.of(9, 9)]]);
    expect([...decodeOptions([Uint8Array.of(3)])]).toEqual([]);
    expect(findSeconds(new Map([[51, Uint8Array.of(1, 2)]]), 51)).toBeUndefined();
    expect(findAddress(new Map([[3, Uint8Array.of(1, 2)]]), 3)).toBeUndefined();
  });

  test("any bytes are read in bounded time, without a throw", () => {
    const bytes = fc.uint8Array({ maxLength: 1500 });
    fc.assert(
      fc.property(bytes, bytes, (options, frame) => {
        decodeMessage(reply([...options]));
        decodeMessage(frame);
        decodeFrame(frame);
      }),
    );
    const full = reply(Array.from({ length: 65_000 }, (_, at) => (at % 2 === 0 ? 53 : 0)));
    expect(decodeMessage(full)).toBeUndefined();
    expect(decodeMessage(reply(Array.from({ length: 65_000 }, () => 52)))).toBeUndefined();
  });

  test("options are encoded as they are decoded", () => {
    const options = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 254 }), fc.uint8Array({ maxLength: 255 })), {
      selector: ([code]) => code,
    });
    fc.assert(
      fc.property(options, (list) => {
        expect(decodeOptions([encodeOptions(new Map(list))])).toEqual(new Map(list));
      }),
    );
  });
});

describe("frames", () => {
  /** From a server's port to a client's. */
  const answered = (payload: Uint8Array): Uint8Array => {
    const frame = encodeFrame(mac, payload);
    const ports = frame.slice(34, 36);
    frame.copyWithin(34, 36, 38);
    frame.set(ports, 36);
    return frame;
  };

  test("have checksums that come out even", () => {
    const payload = Uint8Array.from({ length: 301 }, (_, at) => at);
    const frame = encodeFrame(mac, payload);
    expect(encodeHex(frame.subarray(0, 24))).toBe("ffffffffffff0a580a090002080045000149000000004011");
    const sum = (bytes: number[]): number => {
      let total = 0;
      for (let at = 0; at < bytes.length; at += 2) total += (bytes[at]! << 8) + (bytes[at + 1] ?? 0);
      while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
      return total;
    };
    expect(sum([...frame.subarray(14, 34)])).toBe(0xffff);
    const udp = frame.subarray(34);
    expect(sum([...frame.subarray(26, 34), 0, 17, udp.length >> 8, udp.length & 255, ...udp])).toBe(0xffff);
  });

  test("are read as they are written", () => {
    const payload = Uint8Array.of(1, 2, 3);
    expect(decodeFrame(answered(payload))).toEqual(payload);
    expect(decodeFrame(Uint8Array.from([...answered(payload), 0, 0]))).toEqual(payload); // padded by the link
  });

  test.each<[string, (frame: Uint8Array) => Uint8Array]>([
    ["to another port", (frame) => frame.with(37, 69)],
    ["from another port", (frame) => frame.with(35, 69)],
    ["of another protocol", (frame) => frame.with(23, 6)],
    ["of another kind", (frame) => frame.with(13, 6)],
    ["cut short", (frame) => frame.subarray(0, frame.length - 1)],
    ["a fragment", (frame) => frame.with(20, 0x20)],
    ["with a broken header", (frame) => frame.with(22, 1)],
    ["with a header longer than itself", (frame) => frame.with(14, 0x4f)],
    ["whose UDP part is longer than the packet", (frame) => frame.with(38, 0xff)],
    ["whose UDP part is shorter than its header", (frame) => frame.with(39, 7)],
  ])("%s are none", (_what, change) => {
    expect(decodeFrame(change(answered(Uint8Array.of(1, 2, 3))))).toBeUndefined();
  });
});

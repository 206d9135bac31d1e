import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatIp } from "../../../src/net/ip.ts";
import { eui64LinkLocal, macBytes, macFromBytes, parseMac } from "../../../src/net/mac.ts";

describe("MAC addresses", () => {
  test.each(["0A:58:0a:f4:00:05", "0a-58-0a-F4-00-05", "0a58.0af4.0005"])("%s is read", (text) => {
    expect(parseMac(text)).toBe("0a:58:0a:f4:00:05");
  });

  test.each([
    "",
    "0a:58:0a:f4:00",
    "0a:58:0a:f4:00:05:06",
    "0a:58:0a:f4:00:05:",
    "0a:58-0a:f4:00:05",
    "0a580af40005",
    "0a58:0af4:0005",
    "0g:58:0a:f4:00:05",
    "a:58:0a:f4:00:05",
    "02:00:5e:10:00:00:00:01",
  ])("%j is none", (text) => {
    expect(parseMac(text)).toBeUndefined();
  });

  test("bytes read back", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 6, maxLength: 6 }),
        (bytes) => void expect([...macBytes(macFromBytes(bytes))]).toEqual([...bytes]),
      ),
    );
  });

  test("the link-local address is the kernel's (RFC 2464, section 4)", () => {
    expect(formatIp(eui64LinkLocal("34:56:78:9a:bc:de"))).toBe("fe80::3656:78ff:fe9a:bcde");
  });
});

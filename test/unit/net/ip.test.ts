import fc from "fast-check";
import { IPv4, IPv4CidrRange, IPv4Prefix, IPv6, IPv6CidrRange } from "ip-num";
import { describe, expect, test } from "vitest";
import { encodeHex } from "../../../src/net/bytes.ts";
import {
  addToIp,
  bits,
  broadcastOf,
  compareIps,
  contains,
  defaultPrefix,
  formatIp,
  formatPrefix,
  hostPrefix,
  type Ip,
  ipBytes,
  ipFromBytes,
  isDefault,
  isLinkLocal,
  networkOf,
  parseIp,
  parsePrefix,
  type Prefix,
  sameIp,
  samePrefix,
} from "../../../src/net/ip.ts";

const v4: fc.Arbitrary<Ip> = fc.bigInt(0n, (1n << 32n) - 1n).map((value) => ({ family: 4, value }));
// zero groups are common in real addresses, and what RFC 5952 is about
const v6: fc.Arbitrary<Ip> = fc
  .array(fc.oneof(fc.constant(0n), fc.bigInt(0n, 0xffffn)), { minLength: 8, maxLength: 8 })
  .map((groups): Ip => ({ family: 6, value: groups.reduce((all, one) => (all << 16n) | one, 0n) }))
  .filter(({ value }) => value >> 32n !== 0xffffn);
const anyIp = fc.oneof(v4, v6);
const anyPrefix: fc.Arbitrary<Prefix> = anyIp.chain((ip) =>
  fc.integer({ min: 0, max: bits(ip.family) }).map((length) => ({ ip, length })),
);
const oracle = (ip: Ip): IPv4 | IPv6 => (ip.family === 4 ? new IPv4(ip.value) : new IPv6(ip.value));
const oracleRange = ({ ip, length }: Prefix): IPv4CidrRange | IPv6CidrRange =>
  ip.family === 4
    ? IPv4CidrRange.fromCidr(`${new IPv4(ip.value)}/${length}`)
    : IPv6CidrRange.fromCidr(`${new IPv6(ip.value)}/${length}`);

describe("addresses as text", () => {
  test.each([
    ["10.9.0.2", "10.9.0.2"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["FD00:9:0:0:0:0:0:2", "fd00:9::2"],
    ["fd00:0009::0002", "fd00:9::2"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::ffff:a00:1", "10.0.0.1"],
  ])("%s is %s", (text, canonical) => {
    expect(formatIp(parseIp(text)!)).toBe(canonical);
  });

  test.each([
    "",
    " ",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.00",
    "1.2.3.-4",
    "1.2.3.4 ",
    "1.2.3.",
    "0x1.2.3.4",
    "1.2.3.4/8",
    "1e0.2.3.4",
    "1.2.3.1000",
    ":",
    ":::",
    "1:",
    ":1",
    "1::2::3",
    "12345::",
    "00001::",
    "fe80::1%eth0",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "::1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8::",
    "::1.2.3",
    "::1.2.3.04",
    "::1.2.3.4:5",
    "g::",
    "1:2:3:4:5:6:7:1.2.3.4",
    "1.2.3.4::",
    "::-1",
    "::0x1",
  ])("%j is no address", (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  test("what is printed is read back as the same address", () => {
    fc.assert(fc.property(anyIp, (ip) => void expect(parseIp(formatIp(ip))).toEqual(ip)));
  });

  test("the same address as ip-num, and every spelling of ip-num's is understood", () => {
    fc.assert(fc.property(anyIp, (ip) => void expect(parseIp(oracle(ip).toString())).toEqual(ip)));
  });

  test("RFC 5952: lower case, one ::, for the first longest run of two or more zero groups", () => {
    fc.assert(
      fc.property(v6, (ip) => {
        const text = formatIp(ip);
        expect(text).toBe(new URL(`http://[${text}]/`).hostname.slice(1, -1)); // the URL parser prints RFC 5952 too
      }),
    );
  });
});

describe("addresses as bytes and numbers", () => {
  test("bytes are in network order and read back", () => {
    expect([...ipBytes(parseIp("10.9.0.2")!)]).toEqual([10, 9, 0, 2]);
    expect(encodeHex(ipBytes(parseIp("fd00:9::2")!))).toBe("fd000009000000000000000000000002");
    fc.assert(fc.property(anyIp, (ip) => void expect(ipFromBytes(ipBytes(ip))).toEqual(ip)));
    expect(() => ipFromBytes(new Uint8Array(5))).toThrow(RangeError);
  });

  test("adding moves by that many and never leaves the family", () => {
    fc.assert(
      fc.property(anyIp, fc.integer({ min: -70000, max: 70000 }), (ip, count) => {
        const sum = ip.value + BigInt(count);
        if (sum < 0n || sum >= 1n << BigInt(bits(ip.family))) expect(() => addToIp(ip, count)).toThrow(RangeError);
        else expect(oracle(addToIp(ip, count)).getValue()).toBe(sum);
      }),
    );
  });

  test("order is by family, then by number", () => {
    const texts = ["fd00::1", "10.0.0.10", "10.0.0.9", "::1", "9.0.0.0"];
    expect(
      texts
        .map((text) => parseIp(text)!)
        .sort(compareIps)
        .map(formatIp),
    ).toEqual(["9.0.0.0", "10.0.0.9", "10.0.0.10", "::1", "fd00::1"]);
    expect(sameIp(parseIp("::a00:1")!, parseIp("10.0.0.1")!)).toBe(false);
  });

  test.each([
    ["169.254.1.1", true],
    ["169.253.0.0", false],
    ["169.255.0.0", false],
    ["fe80::1", true],
    ["febf::1", true],
    ["fec0::1", false],
    ["ff02::1", false],
    ["10.0.0.1", false],
  ])("%s: link-local %s", (text, linkLocal) => {
    expect(isLinkLocal(parseIp(text)!)).toBe(linkLocal);
  });
});

describe("prefixes", () => {
  test.each([
    ["10.9.0.7/24", "10.9.0.7/24"],
    ["FD00::1/64", "fd00::1/64"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["10.0.0.0/08", "10.0.0.0/8"],
    ["::ffff:10.0.0.7/104", "10.0.0.7/8"],
    ["::ffff:a00:1/128", "10.0.0.1/32"],
  ])("%s is %s", (text, canonical) => {
    expect(formatPrefix(parsePrefix(text)!)).toBe(canonical);
  });

  test.each([
    "",
    "/",
    "/24",
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/+8",
    "10.0.0.0/8/8",
    "::/129",
    "10.0.0.0/8 ",
    "::ffff:10.0.0.0/95",
    "::ffff:10.0.0.0/129",
    "10.0.0/8",
  ])("%j is no prefix", (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });

  test("network and last address are ip-num's", () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        const range = oracleRange(prefix);
        expect(networkOf(prefix).ip.value).toBe(range.getFirst().getValue());
        expect(broadcastOf(prefix).value).toBe(range.getLast().getValue());
      }),
    );
  });

  test("an address is inside exactly when it lies from the network to the last address", () => {
    const near = anyPrefix.chain((prefix) =>
      fc.tuple(
        fc.constant(prefix),
        fc.oneof(
          anyIp,
          fc
            .bigInt(-2n, 2n)
            .map((by) => broadcastOf(prefix).value + by)
            .filter((value) => value >= 0n && value < 1n << BigInt(bits(prefix.ip.family)))
            .map((value): Ip => ({ family: prefix.ip.family, value })),
        ),
      ),
    );
    fc.assert(
      fc.property(near, ([prefix, ip]) => {
        expect(contains(prefix, ip)).toBe(
          ip.family === prefix.ip.family &&
            ip.value >= networkOf(prefix).ip.value &&
            ip.value <= broadcastOf(prefix).value,
        );
      }),
    );
  });

  test("a mask is ip-num's", () => {
    const { ip } = networkOf({ ip: parseIp("255.255.255.255")!, length: 22 });
    expect(ip.value).toBe(IPv4Prefix.fromNumber(22n).toMask().getValue());
  });

  test("default and host prefixes", () => {
    expect([4, 6].map((family) => formatPrefix(defaultPrefix(family as 4 | 6)))).toEqual(["0.0.0.0/0", "::/0"]);
    expect(isDefault(parsePrefix("::/0")!) && !isDefault(parsePrefix("0.0.0.0/1")!)).toBe(true);
    expect(formatPrefix(hostPrefix(parseIp("fd00::1")!))).toBe("fd00::1/128");
    expect(samePrefix(parsePrefix("10.0.0.0/8")!, parsePrefix("10.0.0.0/9")!)).toBe(false);
  });
});

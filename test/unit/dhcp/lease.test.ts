import { describe, expect, test } from "vitest";
import { timesOf, toLease } from "../../../src/dhcp/lease.ts";
import { decodeRecord, encodeRecord, type LeaseRecord } from "../../../src/dhcp/record.ts";
import type { Answer } from "../../../src/dhcp/message.ts";
import { Option, type Options } from "../../../src/dhcp/options.ts";
import { formatIp, formatPrefix, parseIp, parsePrefix } from "../../../src/net/ip.ts";

const ip = (text: string) => Uint8Array.from(text.split(".").map(Number));
const seconds = (number: number) => Uint8Array.of(number >>> 24, number >> 16, number >> 8, number);
const usual: [number, Uint8Array][] = [
  [Option.SERVER_ID, ip("10.9.0.1")],
  [Option.SUBNET_MASK, ip("255.255.255.0")],
];
const answer = (more: [number, Uint8Array][] = [], yours = "10.9.0.7"): Answer => ({
  type: 5,
  xid: 1,
  mac: "0a:58:0a:09:00:02",
  yourAddress: parseIp(yours)!,
  options: new Map([...usual, ...more]),
});
const routes = (...more: [number, Uint8Array][]) => {
  const lease = toLease(answer(more));
  if (typeof lease === "string") throw new Error(lease);
  return lease.routes.map(({ dst, gw, scope }) => [formatPrefix(dst), gw && formatIp(gw), scope]);
};

describe("a lease", () => {
  test("has address, mask, gateway and a default route by it", () => {
    expect(toLease(answer([[Option.ROUTER, ip("10.9.0.1.10.9.0.2")]]))).toMatchObject({
      address: parsePrefix("10.9.0.7/24")!,
      gateway: parseIp("10.9.0.1")!,
      server: parseIp("10.9.0.1")!,
    });
    expect(routes([Option.ROUTER, ip("10.9.0.1")])).toEqual([["0.0.0.0/0", "10.9.0.1", undefined]]);
    expect(routes()).toEqual([]);
  });

  test("has those of option 33, by class, before the default route", () => {
    const fixed = ip("10.1.2.3.10.9.0.3.172.16.9.9.10.9.0.4.192.168.7.9.10.9.0.5.1.2");
    expect(routes([Option.STATIC_ROUTE, fixed], [Option.ROUTER, ip("10.9.0.1")])).toEqual([
      ["10.0.0.0/8", "10.9.0.3", undefined],
      ["172.16.0.0/16", "10.9.0.4", undefined],
      ["192.168.7.0/24", "10.9.0.5", undefined],
      ["0.0.0.0/0", "10.9.0.1", undefined],
    ]);
  });

  test("has those of option 121 alone where it is there; a gateway of zeros is the link", () => {
    const classless = ip("0.10.9.0.9.16.172.16.0.0.0.0.24.10.77.1.10.9.0.8.33.1.2.3.4.5");
    expect(routes([Option.CLASSLESS_ROUTES, classless], [Option.ROUTER, ip("10.9.0.1")])).toEqual([
      ["0.0.0.0/0", "10.9.0.9", undefined],
      ["172.16.0.0/16", "0.0.0.0", 253],
      ["10.77.1.0/24", "10.9.0.8", undefined],
    ]);
    expect(routes([Option.CLASSLESS_ROUTES, ip("24.10.77")])).toEqual([]);
  });

  test.each<[string, Answer, RegExp]>([
    ["a mask", { ...answer(), options: new Map([usual[0]!]) }, /Subnet Mask not found/],
    ["a mask without holes", answer([[Option.SUBNET_MASK, ip("255.0.255.0")]]), /Subnet Mask is none/],
    ["a server", { ...answer(), options: new Map([usual[1]!]) }, /option 54/],
    ["an address", answer([], "0.0.0.0"), /no address/],
    ["an address of a host", answer([], "224.0.0.1"), /no address/],
    ["an address of a network", answer([], "127.0.0.1"), /no address/],
  ])("has %s", (_what, given, why) => {
    expect(toLease(given)).toMatch(why);
  });

  test.each<[string, Options, number[]]>([
    [
      "said by the server",
      new Map([
        [51, seconds(100)],
        [58, seconds(20)],
        [59, seconds(60)],
      ]),
      [100, 20, 60],
    ],
    ["by the usual parts", new Map([[51, seconds(100)]]), [100, 50, 87.5]],
    ["of an hour where none is said", new Map(), [3600, 1800, 3150]],
    [
      "in order, whatever is said",
      new Map([
        [51, seconds(100)],
        [58, seconds(90)],
        [59, seconds(20)],
      ]),
      [100, 20, 20],
    ],
    [
      "within the lease",
      new Map([
        [51, seconds(100)],
        [58, seconds(200)],
        [59, seconds(300)],
      ]),
      [100, 50, 87.5],
    ],
    [
      "above nothing",
      new Map([
        [51, seconds(0)],
        [58, seconds(0)],
        [59, seconds(0)],
      ]),
      [2, 1, 1.75],
    ],
    ["without end", new Map([[51, seconds(0xffff_ffff)]]), [Infinity, Infinity, Infinity]],
  ])("has times %s", (_what, options, [all, renew, rebind]) => {
    expect(timesOf(options)).toEqual({ seconds: all, renewAfter: renew, rebindAfter: rebind });
  });
});

describe("a record", () => {
  const lease = toLease(answer([[Option.ROUTER, ip("10.9.0.1")]]));
  if (typeof lease === "string") throw new Error(lease);
  const record: LeaseRecord = {
    client: { network: "net", containerId: "c1", ifname: "eth0" },
    netns: "/run/netns/c1",
    cookie: 7n,
    marker: "m",
    mac: "0a:58:0a:09:00:02",
    asked: { provide: new Map([[12, Uint8Array.of(255, 0)]]), request: [3, 1] },
    lease,
    since: 1234,
    lost: "",
  };

  test.each<[string, LeaseRecord]>([
    ["whole", record],
    ["lost", { ...record, lost: "it is over" }],
    ["for ever", { ...record, lease: { ...lease, seconds: Infinity, renewAfter: Infinity, rebindAfter: Infinity } }],
  ])("is read as it was written: %s", (_what, each) => {
    expect(decodeRecord(encodeRecord(each))).toEqual(each);
  });

  test.each(["", "{}", "null", "[]", '{"lease":{}}', '{"lease":{"network":5}}', encodeRecord(record).slice(0, -9)])(
    "is none: %s",
    (text) => {
      expect(decodeRecord(text)).toBeUndefined();
    },
  );
});

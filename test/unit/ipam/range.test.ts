import { describe, expect, test } from "vitest";
import {
  findRange,
  formatSet,
  isGateway,
  type RangeKeys,
  rangeComplaints,
  type RangeSet,
  setComplaints,
  sizeOf,
  toRange,
} from "../../../src/ipam/range.ts";
import { formatIp, parseIp, parsePrefix } from "../../../src/net/ip.ts";

interface Written {
  subnet: string;
  start?: string;
  end?: string;
  gateway?: string;
}

const keys = ({ subnet, start, end, gateway }: Written): RangeKeys => ({
  subnet: parsePrefix(subnet)!,
  rangeStart: start === undefined ? undefined : parseIp(start)!,
  rangeEnd: end === undefined ? undefined : parseIp(end)!,
  gateway: gateway === undefined ? undefined : parseIp(gateway)!,
});
const set = (...ranges: Written[]): RangeSet => ranges.map((range) => toRange(keys(range)));

describe("what a range leaves out", () => {
  test.each([
    [{ subnet: "10.9.0.0/24" }, "10.9.0.1-10.9.0.254", "10.9.0.1"],
    [{ subnet: "10.9.0.0/30" }, "10.9.0.1-10.9.0.2", "10.9.0.1"],
    [{ subnet: "fd00:9::/64" }, "fd00:9::1-fd00:9::ffff:ffff:ffff:ffff", "fd00:9::1"],
    [{ subnet: "10.9.0.0/24", start: "10.9.0.10", gateway: "10.9.0.254" }, "10.9.0.10-10.9.0.254", "10.9.0.254"],
    [{ subnet: "10.9.0.0/24", end: "10.9.0.20" }, "10.9.0.1-10.9.0.20", "10.9.0.1"],
    [{ subnet: "10.9.0.0/24", start: "10.9.0.0", end: "10.9.0.255" }, "10.9.0.1-10.9.0.254", "10.9.0.1"],
    [{ subnet: "fd00:9::/126", start: "fd00:9::", end: "fd00:9::3" }, "fd00:9::1-fd00:9::3", "fd00:9::1"],
  ])("%j", (written, span, gateway) => {
    const range = toRange(keys(written));
    expect([formatSet([range]), formatIp(range.gateway)]).toEqual([span, gateway]);
  });
});

describe("what is wrong with a range", () => {
  test.each<[Written, string[]]>([
    [{ subnet: "10.9.0.0/24" }, []],
    [{ subnet: "10.9.0.0/30", start: "10.9.0.2", end: "10.9.0.2" }, []],
    [{ subnet: "fd00::/126", end: "fd00::3" }, []],
    [{ subnet: "10.9.0.1/24" }, ["subnet must not have host bits set: the network is 10.9.0.0/24"]],
    [{ subnet: "10.9.0.0/31" }, ["subnet must be large enough to allocate from: its prefix length at most 30"]],
    [{ subnet: "fd00::/127" }, ["subnet must be large enough to allocate from: its prefix length at most 126"]],
    [{ subnet: "10.9.0.0/24", gateway: "10.8.0.1" }, []],
    [{ subnet: "fd00::/64", gateway: "fe80::1" }, []],
    [{ subnet: "10.9.0.0/24", gateway: "::" }, []],
    [{ subnet: "10.9.0.0/24", gateway: "fd00::1" }, ["gateway must be an address of IPv4, as the subnet is"]],
    [{ subnet: "10.9.0.0/24", start: "10.9.0.0", end: "10.9.0.255" }, []],
    [
      { subnet: "10.9.0.0/24", start: "10.9.0.255" },
      ["rangeStart must leave a range: it would go from 10.9.0.255 to 10.9.0.254"],
    ],
    [
      { subnet: "10.9.0.0/24", end: "10.9.0.0" },
      ["rangeEnd must leave a range: it would go from 10.9.0.1 to 10.9.0.0"],
    ],
    [{ subnet: "fd00::/64", start: "fd00::" }, []],
    [{ subnet: "fd00::/64", end: "fd00::" }, ["rangeEnd must leave a range: it would go from fd00::1 to fd00::"]],
    [
      { subnet: "10.9.0.0/24", start: "10.9.0.9", end: "10.9.0.4" },
      ["rangeStart must leave a range: it would go from 10.9.0.9 to 10.9.0.4"],
    ],
    [
      { subnet: "10.9.0.0/24", start: "10.9.1.9", end: "fd00::4", gateway: "10.9.1.1" },
      ["rangeStart must be inside the subnet 10.9.0.0/24", "rangeEnd must be inside the subnet 10.9.0.0/24"],
    ],
  ])("%j", (written, complaints) => {
    expect(rangeComplaints(keys(written)).map(({ at, must }) => `${at} ${must}`)).toEqual(complaints);
  });
});

describe("what is wrong with sets", () => {
  test.each<[string, RangeSet[], string[]]>([
    [
      "two halves of one subnet",
      [set({ subnet: "10.9.0.0/24", end: "10.9.0.99" }), set({ subnet: "10.9.0.0/24", start: "10.9.0.100" })],
      [],
    ],
    ["an empty one", [[], set({ subnet: "10.9.0.0/24" })], ["range set 0 is empty"]],
    [
      "mixed families",
      [set({ subnet: "10.9.0.0/24" }, { subnet: "fd00::/64" })],
      ["range set 0 mixes address families"],
    ],
    [
      "overlap within",
      [set({ subnet: "10.9.0.0/24" }, { subnet: "10.9.0.0/16", start: "10.9.0.254" })],
      ["range set 0 has ranges 10.9.0.1-10.9.0.254 and 10.9.0.254-10.9.255.254 that overlap"],
    ],
    [
      "overlap between",
      [set({ subnet: "10.1.0.0/24" }), set({ subnet: "10.9.0.0/16" }), set({ subnet: "10.9.7.0/24" })],
      ["range set 1 overlaps with range set 2"],
    ],
    [
      "nothing but a gateway",
      [set({ subnet: "10.9.0.0/24", end: "10.9.0.1" })],
      ["range set 0 has no address but its gateway"],
    ],
  ])("%s", (_name, sets, complaints) => {
    expect(setComplaints(sets)).toEqual(complaints);
  });
});

test("a set's size leaves out gateways inside its ranges, each once", () => {
  expect(sizeOf(set({ subnet: "10.9.0.0/24" }))).toBe(253n);
  expect(sizeOf(set({ subnet: "10.9.0.0/24", start: "10.9.0.2" }))).toBe(253n);
  expect(
    sizeOf(
      set({ subnet: "10.9.0.0/24", end: "10.9.0.9" }, { subnet: "10.9.0.0/24", start: "10.9.0.11", end: "10.9.0.12" }),
    ),
  ).toBe(10n);
  expect(sizeOf(set({ subnet: "fd00::/64" }))).toBe((1n << 64n) - 2n);
});

test("a range is found by its span, and any range's gateway is one of the set", () => {
  const both = set(
    { subnet: "10.9.0.0/24", start: "10.9.0.10", end: "10.9.0.20", gateway: "10.9.0.15" },
    { subnet: "10.9.0.0/24", start: "10.9.0.30", end: "10.9.0.40" },
  );
  expect(
    ["10.9.0.9", "10.9.0.10", "10.9.0.20", "10.9.0.21", "10.9.0.30", "::a09:1e"].map((text) =>
      both.indexOf(findRange(both, parseIp(text)!)!),
    ),
  ).toEqual([-1, 0, 0, -1, 1, -1]);
  expect(["10.9.0.1", "10.9.0.15", "10.9.0.16"].map((text) => isGateway(both, parseIp(text)!))).toEqual([
    true,
    true,
    false,
  ]);
});

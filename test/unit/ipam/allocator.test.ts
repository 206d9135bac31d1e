import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { candidates, claimFirst } from "../../../src/ipam/allocator.ts";
import { isGateway, type RangeSet, setComplaints, sizeOf, toRange } from "../../../src/ipam/range.ts";
import {
  addToIp,
  broadcastOf,
  type Family,
  formatIp,
  type Ip,
  parseIp,
  parsePrefix,
  sameIp,
} from "../../../src/net/ip.ts";

const range = (subnet: string, start?: string, end?: string, gateway?: string) =>
  toRange({
    subnet: parsePrefix(subnet)!,
    rangeStart: start ? parseIp(start) : undefined,
    rangeEnd: end ? parseIp(end) : undefined,
    gateway: gateway ? parseIp(gateway) : undefined,
  });
const order = (set: RangeSet, last?: string): string[] =>
  [...candidates(set, last === undefined ? undefined : parseIp(last))].map(({ ip }) => formatIp(ip));

// Written down from the reference host-local v1.9.1: one container after another on each configuration, cursor set by
// hand
describe("the order is the reference's", () => {
  const small = [range("10.9.0.0/29")];
  const two = [
    range("10.9.0.0/24", "10.9.0.10", "10.9.0.12", "10.9.0.11"),
    range("10.9.1.0/24", "10.9.1.5", "10.9.1.6"),
  ];
  test.each<[string, RangeSet, string | undefined, string]>([
    ["from the start", small, undefined, "2 3 4 5 6"],
    ["after the cursor, around, the cursor's own last", small, "10.9.0.4", "5 6 2 3 4"],
    ["a cursor on the gateway", small, "10.9.0.1", "2 3 4 5 6"],
    ["a cursor at the end", small, "10.9.0.6", "2 3 4 5 6"],
    ["a cursor that lies in no range", small, "10.8.0.4", "2 3 4 5 6"],
    ["range after range, gateways left out", two, undefined, "10 12 1.5 1.6"],
    ["from the second range around", two, "10.9.1.5", "1.6 10 12 1.5"],
    ["a single address again and again", [range("10.9.0.0/24", "10.9.0.7", "10.9.0.7")], "10.9.0.7", "7"],
  ])("%s", (_name, set, last, expected) => {
    expect(
      order(set, last)
        .map((ip) => ip.replace(/^10\.9\.0\./, "").replace(/^10\.9\./, ""))
        .join(" "),
    ).toBe(expected);
  });

  test("IPv6, far from its end", () => {
    const walk = candidates([range("fd00:9::/64")], parseIp("fd00:9::ffff"));
    expect([walk.next(), walk.next()].map(({ value }) => formatIp(value!.ip))).toEqual(["fd00:9::1:0", "fd00:9::1:1"]);
  });
});

/** Sets of one to three ranges, of either family, small enough to fill, with gateways inside or outside of them. */
const rangeSet: fc.Arbitrary<RangeSet> = fc
  .tuple(
    fc.constantFrom<Family>(4, 6),
    fc.array(fc.record({ bits: fc.integer({ min: 2, max: 7 }), from: fc.nat(), to: fc.nat(), gateway: fc.nat() }), {
      minLength: 1,
      maxLength: 3,
    }),
  )
  .map(([family, specs]) =>
    specs.map(({ bits, from, to, gateway }, i) => {
      const subnet = parsePrefix(family === 4 ? `10.9.${i}.0/${32 - bits}` : `fd00:${i}::/${128 - bits}`)!;
      const last = 2 ** bits - (family === 4 ? 2 : 1);
      const [low, high] = [1 + (from % last), 1 + (to % last)].sort((a, b) => a - b) as [number, number];
      return toRange({
        subnet,
        rangeStart: addToIp(subnet.ip, low),
        rangeEnd: addToIp(subnet.ip, high),
        gateway: addToIp(subnet.ip, 1 + (gateway % last)),
      });
    }),
  )
  .filter((set) => setComplaints([set]).length === 0);

/** A set, some of its addresses that are taken, and a cursor: none, one of the set's addresses, or a stranger. */
const situation = rangeSet.chain((set) => {
  const all = [...candidates(set)].map(({ ip }) => ip);
  const cursor = fc.option(fc.oneof(fc.constantFrom(...all), fc.constant(parseIp("192.0.2.1")!)), { nil: undefined });
  return fc.record({ set: fc.constant(set), all: fc.constant(all), taken: fc.subarray(all), cursor });
});

describe("whatever the ranges, the cursor and the leases", () => {
  test("every address that may be given comes once, and none else", () => {
    fc.assert(
      fc.property(situation, ({ set, cursor }) => {
        const ips = [...candidates(set, cursor)].map(({ ip, range: from }) => ({ ip, from }));
        expect(BigInt(ips.length)).toBe(sizeOf(set));
        expect(new Set(ips.map(({ ip }) => ip.value)).size).toBe(ips.length);
        for (const { ip, from } of ips) {
          expect(ip.value >= from.start.value && ip.value <= from.end.value).toBe(true);
          expect(isGateway(set, ip) || sameIp(ip, from.subnet.ip)).toBe(false);
          expect(ip.family === 4 && sameIp(ip, broadcastOf(from.subnet))).toBe(false);
        }
      }),
    );
  });

  test("what is claimed was free, the first free one after the cursor, and something is found as long as anything is", () => {
    fc.assert(
      fc.property(situation, ({ set, all, taken, cursor }) => {
        const isTaken = (ip: Ip): boolean => taken.some((other) => sameIp(ip, other));
        const found = claimFirst(
          set,
          cursor,
          (ip) => !isTaken(ip),
          () => new Set(taken.map(({ value }) => value)),
        );
        expect(found?.ip).toEqual([...candidates(set, cursor)].find(({ ip }) => !isTaken(ip))?.ip);
        expect(found === undefined).toBe(taken.length === all.length);
      }),
    );
  });

  test("one after another fills the set, each once", () => {
    fc.assert(
      fc.property(rangeSet, (set) => {
        const taken = new Set<bigint>();
        let last: Ip | undefined;
        const claim = ({ value }: Ip): boolean => !taken.has(value) && taken.add(value) !== undefined;
        for (
          let found = claimFirst(set, last, claim, () => taken);
          found;
          found = claimFirst(set, last, claim, () => taken)
        ) {
          last = found.ip;
        }
        expect(BigInt(taken.size)).toBe(sizeOf(set));
      }),
    );
  });
});

test("a full /16 costs one look at the folder", () => {
  const set = [range("10.9.0.0/16")];
  const taken = new Set([...candidates(set)].map(({ ip }) => ip.value));
  let looks = 0;
  let claims = 0;
  expect(
    claimFirst(
      set,
      undefined,
      () => ++claims < 0,
      () => (++looks, taken),
    ),
  ).toBeUndefined();
  expect([looks, claims]).toEqual([1, 64]);
});

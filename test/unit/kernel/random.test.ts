import "../../harness/engine-setup.ts";
import { expect, test } from "vitest";
import { randomBytes, randomFraction, randomMac, randomUuid } from "../../../src/kernel/random.ts";
import { macBytes, parseMac } from "../../../src/net/mac.ts";

test("random MACs are unicast, locally administered and differ", () => {
  const macs = Array.from({ length: 200 }, randomMac);
  expect(new Set(macs).size).toBe(200);
  expect(macs.every((mac) => parseMac(mac) === mac && (macBytes(mac)[0]! & 3) === 2)).toBe(true);
});

test("random UUIDs are of version 4 and differ", () => {
  const uuids = Array.from({ length: 200 }, randomUuid);
  expect(new Set(uuids).size).toBe(200);
  expect(
    uuids.filter((uuid) => !/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(uuid)),
  ).toEqual([]);
});

test("random fractions are at least 0, below 1, and all over the place", () => {
  const fractions = Array.from({ length: 1000 }, randomFraction);
  expect(fractions.every((each) => each >= 0 && each < 1)).toBe(true);
  expect(new Set(fractions.map((each) => Math.floor(each * 10))).size).toBe(10);
  expect(randomBytes(5)).toHaveLength(5);
});

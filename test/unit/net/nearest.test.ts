import { describe, expect, test } from "vitest";
import { nearest, nearMiss } from "../../../src/net/nearest.ts";

const keys = ["isGateway", "isDefaultGateway", "mtu", "dst", "ipMasq", "ipam", "vlan"];

describe("what was probably meant", () => {
  test.each([
    ["isGatway", "isGateway"],
    ["isgateways", "isGateway"],
    ["isDefaultGatway", "isDefaultGateway"],
    ["dts", "dst"],
    ["mtuu", "mtu"],
    ["ipMask", "ipMasq"],
    ["IPAM", "ipam"],
    ["gate", undefined],
    ["ip", undefined],
    ["foo", undefined],
  ])("%s is a slip of %s", (word, meant) => {
    expect(nearMiss(word, keys)).toBe(meant);
  });

  test("a person may also type the beginning alone", () => {
    expect(nearest("isG", keys)).toBe("isGateway");
    expect(nearest("i", keys)).toBeUndefined();
  });
});

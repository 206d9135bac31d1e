import { existsSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { collectLeases } from "../../../src/ipam/collect.ts";
import { findLease, removeLease } from "../../../src/ipam/leases.ts";
import { statusOfLeases } from "../../../src/ipam/status.ts";
import { formatIp } from "../../../src/net/ip.ts";
import { dual, LeaseNode, owner } from "./node.ts";

describe("GC", () => {
  test("frees what no valid attachment has, and nothing else", () => {
    const node = new LeaseNode();
    const config = node.config(dual);
    for (const id of ["kept", "lost"]) node.addPod(config, id);
    node.write("10.9.0.50", "kept\r\neth1");
    node.write("10.9.0.51", "kept");
    node.write("10.9.0.52", "lost");
    node.write("10.9.0.55", "kep");
    node.write("10.9.0.53", "");
    node.write("10.9.0.54", "other\r\neth0");
    writeFileSync(node.aside("nonsense"), "{");
    expect(
      collectLeases(node.folder, () => [owner("kept")])
        .map(formatIp)
        .sort(),
    ).toEqual(["10.9.0.3", "10.9.0.50", "10.9.0.52", "10.9.0.54", "fd00:9::3"]);
    expect(node.leases()).toEqual({
      "10.9.0.2": "kept\r\neth0",
      "fd00:9::2": "kept\r\neth0",
      "10.9.0.51": "kept",
      "10.9.0.53": "",
      "10.9.0.55": "kep",
    });
    expect(node.records()).toEqual(["kept:eth0"]);
    expect(collectLeases(node.folder, () => [owner("kept")])).toEqual([]);
    expect(findLease(node.folder, owner("kept"))).toHaveLength(2);
  });

  test("of nothing makes nothing", () => {
    const node = new LeaseNode();
    expect(collectLeases(node.folder, () => [])).toEqual([]);
    expect(existsSync(node.dataDir)).toBe(false);
  });

  test("clears away what a killed ADD began long ago, not what one may be at", () => {
    const node = new LeaseNode();
    node.addPod(node.config(), "c1");
    for (const name of [".new-1-old", ".new-2-young"]) writeFileSync(node.aside(name), "c9\r\neth0");
    utimesSync(node.aside(".new-1-old"), 1, 1);
    collectLeases(node.folder, () => [owner("c1")]);
    expect(node.records()).toEqual([".new-2-young", "c1:eth0"]);
  });

  test("leaves another network alone", () => {
    const node = new LeaseNode();
    node.addPod(node.config(), "c1");
    expect(collectLeases({ dataDir: node.dataDir, network: "other" }, () => [])).toEqual([]);
    expect(removeLease({ dataDir: node.dataDir, network: "other" }, owner("c1"))).toEqual([]);
    expect(Object.keys(node.leases())).toEqual(["10.9.0.2"]);
  });
});

describe("STATUS", () => {
  const warnings = (node: LeaseNode, ranges?: object[][]): string[] => {
    const messages: string[] = [];
    statusOfLeases(node.config(ranges), { warn: (message) => void messages.push(message) });
    return messages;
  };

  test("is well where a lease could be written, and writes nothing itself", () => {
    const node = new LeaseNode();
    expect(warnings(node)).toEqual([]);
    expect(existsSync(node.dataDir)).toBe(false);
    node.addPod(node.config(), "c1");
    const before = [node.path(""), node.aside()].map((path) => statSync(path, { bigint: true }).mtimeNs);
    expect(warnings(node)).toEqual([]);
    expect([node.path(""), node.aside()].map((path) => statSync(path, { bigint: true }).mtimeNs)).toEqual(before);
  });

  test("a full range is said, not reported", () => {
    const node = new LeaseNode();
    const ranges = [[{ subnet: "10.9.0.0/30" }]];
    node.addPod(node.config(ranges), "c1");
    expect(warnings(node, ranges)).toEqual([
      "range set 0 (10.9.0.1-10.9.0.2) of network net is full: 1 addresses are used",
    ]);
  });

  test("is 50 where the folder is a file", () => {
    const node = new LeaseNode();
    writeFileSync(node.dataDir, "");
    expect(() => warnings(node)).toThrow(
      expect.objectContaining({
        code: 50,
        message: expect.stringContaining(`ipam.dataDir is "${node.dataDir}"`) as string,
      }),
    );
  });
});

import { readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runMarker } from "../../../src/node/liveness.ts";
import { listLeases } from "../../../src/ipam/reclaim.ts";
import { formatIp } from "../../../src/net/ip.ts";
import { addresses, LeaseNode } from "./node.ts";

/** Three addresses: .2, .3 and .4. */
const three = [[{ subnet: "10.9.0.0/24", rangeEnd: "10.9.0.4" }]];

function fullNode(): LeaseNode {
  const node = new LeaseNode();
  for (const id of ["c1", "c2", "c3"]) node.addPod(node.config(three), id);
  return node;
}

const states = (node: LeaseNode): string[] => listLeases(node.folder, node.liveness).map(({ state }) => state);
const next = (node: LeaseNode): string[] => addresses(node.addPod(node.config(three), "new"));

describe("a range that runs short", () => {
  test("takes back the lease of a pod whose host veth and namespace are gone", () => {
    const node = fullNode();
    node.removeLink("c2");
    node.removeNamespace("c2");
    expect(states(node)).toEqual(["live", "gone", "live"]);
    const leased = node.addPod(node.config(three), "new");
    expect(addresses(leased)).toEqual(["10.9.0.3"]);
    expect(leased.takenBack.map(({ holder, ip }) => [holder?.containerId, formatIp(ip)])).toEqual([["c2", "10.9.0.3"]]);
    expect(node.records()).toEqual(["c1:eth0", "c3:eth0", "new:eth0"]);
  });

  test("knows a namespace by its cookie, not its path", () => {
    const node = fullNode();
    node.removeLink("c1");
    writeFileSync(join(node.root, "netns/c1"), "4711");
    expect(next(node)).toEqual(["10.9.0.2"]);
  });

  test("leaves a pod alone whose host veth is there, whatever became of its namespace and /run", () => {
    const node = fullNode();
    node.removeNamespace("c1");
    rmSync(join(node.root, "run"), { recursive: true });
    expect(states(node)).toEqual(["live", "live", "live"]);
    expect(() => next(node)).toThrow("no IP addresses available");
  });

  test("leaves a pod alone whose namespace is there, though its host veth is not", () => {
    const node = fullNode();
    node.removeLink("c1");
    expect(states(node)).toEqual(["unknown", "live", "live"]);
    expect(() => next(node)).toThrow("no IP addresses available");
  });

  test("takes all back after a boot, which empties /run", () => {
    const node = fullNode();
    node.reboot();
    expect(states(node)).toEqual(["gone", "gone", "gone"]);
    expect(next(node)).toEqual(["10.9.0.2"]);
    expect(Object.keys(node.leases())).toEqual(["10.9.0.2"]);
  });

  test("takes nothing back on a marker that cannot be read or was none", () => {
    const node = new LeaseNode();
    rmSync(join(node.root, "run"), { recursive: true });
    writeFileSync(join(node.root, "run"), "a file where /run should be");
    for (const id of ["c1", "c2", "c3"]) node.addPod(node.config(three), id);
    node.removeLink("c1");
    rmSync(join(node.root, "run"));
    expect(states(node)).toEqual(["unknown", "live", "live"]);
  });

  test("frees every address of a pod that is gone, in other range sets too", () => {
    const node = new LeaseNode();
    const dual = node.config([...three, [{ subnet: "fd00:9::/64" }]]);
    for (const id of ["c1", "c2", "c3"]) node.addPod(dual, id);
    node.removeLink("c1");
    node.removeNamespace("c1");
    expect(next(node)).toEqual(["10.9.0.2"]);
    expect(Object.keys(node.leases())).toEqual(["10.9.0.2", "10.9.0.3", "10.9.0.4", "fd00:9::3", "fd00:9::4"]);
  });
});

test("a range with a free address takes nothing back", () => {
  const node = fullNode();
  node.reboot();
  expect(addresses(node.addPod(node.config([[{ subnet: "10.9.0.0/24", rangeEnd: "10.9.0.5" }]]), "new"))).toEqual([
    "10.9.0.5",
  ]);
  expect(Object.keys(node.leases())).toEqual(["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5"]);
});

describe("a lease podwire knows nothing about", () => {
  const foreign = (node: LeaseNode, ip: string, content: string, hoursAgo: number): void => {
    node.write(ip, content);
    utimesSync(node.path(ip), Date.now() / 1000 - hoursAgo * 3600, Date.now() / 1000 - hoursAgo * 3600);
  };

  test("counts as gone only when it is older than the boot and its address is nowhere on the host", () => {
    const node = new LeaseNode();
    foreign(node, "10.9.0.2", "r1\r\neth0", 0.5);
    foreign(node, "10.9.0.3", "r2\r\neth0", 2);
    foreign(node, "10.9.0.4", "r3", 2);
    writeFileSync(join(node.root, "addresses/10.9.0.3"), "");
    expect(states(node)).toEqual(["unknown", "live", "gone"]);
    expect(next(node)).toEqual(["10.9.0.4"]);
    expect(() => node.addPod(node.config(three), "another")).toThrow("no IP addresses available");
  });

  test("so does one of a stand-alone host-local, for another main plugin", () => {
    const node = new LeaseNode();
    for (const id of ["c1", "c2", "c3"]) node.add(node.config(three), id);
    expect(states(node)).toEqual(["unknown", "unknown", "unknown"]);
    node.reboot();
    expect(next(node)).toEqual(["10.9.0.2"]);
  });

  test("a torn file never counts as gone", () => {
    const node = new LeaseNode();
    for (const ip of ["10.9.0.2", "10.9.0.3", "10.9.0.4"]) foreign(node, ip, "", 2);
    expect(states(node)).toEqual(["torn", "torn", "torn"]);
    expect(() => next(node)).toThrow(
      expect.objectContaining({
        code: 999,
        message: expect.stringContaining("3 are blocked by files that are no lease") as string,
      }),
    );
  });
});

test("exhaustion says how many addresses there are, are used, by pods whose namespace is gone, and what to run", () => {
  const node = fullNode();
  node.removeNamespace("c3");
  expect(() => next(node)).toThrow(
    expect.objectContaining({
      code: 11,
      message:
        "no IP addresses available in range set 0 (10.9.0.1-10.9.0.4) of network net: it has 3 addresses, 3 are used, 1 of them by pods whose namespace is gone; " +
        `see who has them: podwire leases --data-dir ${node.dataDir} --network net`,
    }),
  );
  expect(Object.keys(node.leases())).toHaveLength(3);
});

test("a list of leases has the holder, the age and the state of each, in order of address", () => {
  const node = new LeaseNode();
  node.addPod(node.config([[{ subnet: "10.9.0.0/24" }], [{ subnet: "fd00:9::/64" }]]), "c1");
  node.write("10.9.0.10", "c2");
  node.write("10.9.0.9", "");
  const before = BigInt(Date.now() - 60_000) * 1_000_000n;
  expect(
    listLeases(node.folder, node.liveness).map(({ ip, holder, state, modified }) => [
      formatIp(ip),
      holder?.containerId,
      holder?.ifname,
      state,
      modified > before,
    ]),
  ).toEqual([
    ["10.9.0.2", "c1", "eth0", "live", true],
    ["10.9.0.9", undefined, undefined, "torn", true],
    ["10.9.0.10", "c2", undefined, "unknown", true],
    ["fd00:9::2", "c1", "eth0", "live", true],
  ]);
  expect(listLeases({ dataDir: "/nonexistent", network: "net" }, node.liveness)).toEqual([]);
});

test("the marker in /run is made once and stays until /run is emptied", () => {
  const node = new LeaseNode();
  const run = join(node.root, "run/podwire");
  const first = runMarker(run);
  expect(first).toMatch(/^[0-9a-f-]{36}$/);
  expect([runMarker(run), readFileSync(join(run, "marker"), "utf8")]).toEqual([first, first]);
  rmSync(run, { recursive: true });
  expect(runMarker(run)).not.toBe(first);
  expect(runMarker("/proc/podwire")).toBe("");
});

import { describe, expect, test } from "vitest";
import { differenceFinding, layerOf } from "../../../src/doctor/differences.ts";
import { judgeCapacity, judgeConntrack } from "../../../src/doctor/judgements.ts";

describe("the table of connections", () => {
  test.each<[number, number, string]>([
    [0, 262_144, "ok"],
    [209_000, 262_144, "ok"],
    [210_000, 262_144, "warn"],
    [262_144, 262_144, "FAULT"],
    [5, 0, "ok"],
  ])("with %i of %i is %s", (count, max, state) => {
    expect(judgeConntrack(count, max)).toEqual([expect.objectContaining({ state, layer: "conntrack" })]);
  });
});

describe("a range", () => {
  const capacity = { network: "net", ranges: "10.9.0.1-10.9.0.254", dataDir: "/d", size: 253n, states: {} };

  test.each<[number, number, string | undefined]>([
    [10, 0, undefined],
    [227, 0, undefined],
    [228, 0, "warn"],
    [253, 12, "warn"],
    [253, 0, "FAULT"],
  ])("with %i leased, %i of them by pods that are gone: %s", (leased, gone, state) => {
    const found = judgeCapacity({ ...capacity, leased, states: { gone } });
    expect(found.map((finding) => finding.state)).toEqual(state === undefined ? [] : [state]);
  });

  test("says whose addresses they are", () => {
    const found = judgeCapacity({ ...capacity, leased: 250, states: { live: 220, gone: 24, unknown: 6 } });
    expect(found[0]?.what).toBe("net 10.9.0.1-10.9.0.254: 250 of 253 used: 220 live, 24 gone, 6 unknown");
  });

  test("names what gives addresses back", () => {
    expect(judgeCapacity({ ...capacity, leased: 253, states: { gone: 3 } })[0]?.mend).toBe("podwire gc --network net");
  });
});

describe("a difference CHECK found", () => {
  test.each([
    ["veth", "link veth1 on the host is down", "link"],
    ["veth", "link veth1 is not a port of bridge br0", "bridge"],
    ["veth", "hairpin mode of bridge port veth1 is off", "bridge"],
    ["podLink", "link eth0 does not exist in the container", "link"],
    ["bridge", "bridge br0 does not exist", "bridge"],
    ["pod", "link eth0 in the container is down", "link"],
    ["pod", "address 10.9.0.2/24 is missing on eth0", "address"],
    ["pod", "route 0.0.0.0/0 via 10.9.0.1 through eth0 is missing", "route"],
    ["host", "route 10.9.0.2/32 through veth1 is missing", "route"],
    ["host", "address 10.9.0.1/32 is missing on veth1", "gateway"],
    ["host", "net.ipv4.ip_forward is not 1: the host does not forward IPv4", "forwarding"],
    ["gateways", "address 10.9.0.1/24 is missing on br0", "gateway"],
    ["masquerade", "nftables table podwire: 10.9.0.2 in map masquerade4 is missing", "masquerade"],
    ["ports", "sysctl net/ipv4/conf/veth1/route_localnet is not 1: 127.0.0.1 does not reach 10.9.0.2", "ports"],
  ] as const)("of %s: %s is of layer %s", (kind, difference, layer) => {
    expect(layerOf(kind, difference)).toBe(layer);
  });

  test("says apart what should be and what is", () => {
    expect(
      differenceFinding("veth", "link eth0 in the container has MTU 1300, not 1400", "podwire repair web"),
    ).toEqual({
      state: "FAULT",
      layer: "link",
      what: "link eth0 in the container has MTU 1300, not 1400",
      is: "MTU 1300",
      expected: "1400",
      mend: "podwire repair web",
    });
  });
});

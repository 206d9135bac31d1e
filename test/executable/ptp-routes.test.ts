import { describe, expect, test } from "vitest";
import { attach, complaint, dualStack, hostLocal, ptp } from "./configs.ts";
import { Node } from "./harness.ts";

// Routes of IPAM as the reference installs them in ptp: also those that the kernel, or ptp itself, makes as well.

type Route = Record<string, unknown> & { dst: string };

describe.each<[string, string[], Route[], string[]]>([
  [
    "through another router of the subnet",
    ["10.30.0.0/24"],
    [{ dst: "10.99.0.0/16", gw: "10.30.0.9" }],
    ["10.99.0.0/16 via 10.30.0.9"],
  ],
  ["a default route through it", ["10.30.0.0/24"], [{ dst: "0.0.0.0/0", gw: "10.30.0.9" }], ["default via 10.30.0.9"]],
  ["the same, IPv6", ["fd00:30::/64"], [{ dst: "fd00:99::/64", gw: "fd00:30::9" }], ["fd00:99::/64 via fd00:30::9"]],
  ["the subnet itself", ["10.30.0.0/24"], [{ dst: "10.30.0.0/24" }], ["10.30.0.0/24 via 10.30.0.1"]],
  ["the subnet itself, IPv6", ["fd00:20::/64"], [{ dst: "fd00:20::/64" }], ["fd00:20::/64 via fd00:20::1"]],
  [
    "the subnet itself through the gateway, IPv6",
    ["fd00:20::/64"],
    [{ dst: "fd00:20::/64", gw: "fd00:20::1" }],
    ["fd00:20::/64 via fd00:20::1"],
  ],
  ["the gateway's own", ["10.30.0.0/24"], [{ dst: "10.30.0.1/32", scope: 253 }], ["10.30.0.1"]],
  [
    "twice, with defaults spelled out",
    ["10.30.0.0/24"],
    [{ dst: "10.99.0.0/16" }, { dst: "10.99.0.0/16", priority: 0, table: 254 }],
    ["10.99.0.0/16 via 10.30.0.1"],
  ],
  [
    "twice, with defaults spelled out, IPv6",
    ["fd00:20::/64"],
    [{ dst: "fd00:99::/64" }, { dst: "fd00:99::/64", priority: 1024, table: 254 }],
    ["fd00:99::/64 via fd00:20::1"],
  ],
])("%s", (_what, subnets, routes, expected) => {
  test("is there once, and CHECK is content", async () => {
    const node = await Node.create();
    const ranges = subnets.map((subnet) => [{ subnet }]);
    const config = ptp(node, { ipam: hostLocal(node, { ranges, routes }) });
    const attached = await attach(node, config);
    const family = subnets[0]!.includes(":") ? ["-6"] : [];
    const listed = (await attached.pod.must("ip", ...family, "route", "show", "dev", "eth0"))
      .split("\n")
      .map((line) => line.trim());
    for (const route of expected) expect(listed.filter((line) => `${line} `.startsWith(`${route} `))).toHaveLength(1);
    expect(await complaint(node, attached)).toBe("");
  });
});

test("two IPv6 sets of one subnet are two addresses, and one route to the subnet", async () => {
  const node = await Node.create();
  const half = (rangeStart: string, rangeEnd: string) => [{ subnet: "fd00:20::/64", rangeStart, rangeEnd }];
  const ranges = [half("fd00:20::10", "fd00:20::1f"), half("fd00:20::20", "fd00:20::2f")];
  const attached = await attach(node, ptp(node, { ipam: hostLocal(node, { ranges }) }));
  expect(await attached.pod.addresses("eth0")).toEqual(expect.arrayContaining(["fd00:20::10/64", "fd00:20::20/64"]));
  expect(await complaint(node, attached)).toBe("");
});

test("a default route of hundreds of next hops hides neither a pod's route nor that it is gone", async () => {
  const node = await Node.create();
  await node.outside();
  const routes = Array.from(
    { length: 300 },
    (_, at) => `ip -6 route append default via 2001:db8::${at + 2} dev uplink`,
  );
  await node.must("sh", "-ec", routes.join("\n"));
  expect((await node.run("ip", ["-6", "route", "get", "fibmatch", "2001:db8:1::1"])).stderr).toContain("too long");
  const attached = await attach(node, ptp(node, { ipam: dualStack(node) }));
  expect(await complaint(node, attached)).toBe("");
  await node.ip(`-6 route delete ${attached.ip6}`);
  expect(await complaint(node, attached)).toContain(
    `route ${attached.ip6}/128 through ${attached.hostVeth} is missing`,
  );
});

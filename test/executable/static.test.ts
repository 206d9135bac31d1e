import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, complaint, type Config, failure, macvlan, ptp, refusal } from "./configs.ts";
import { type Call, Node, podwireFolder, reference } from "./harness.ts";

const two = {
  type: "static",
  addresses: [{ address: "10.9.0.20/24", gateway: "10.9.0.1" }, { address: "fd00:9::20/64" }],
  routes: [{ dst: "0.0.0.0/0" }, { dst: "192.168.1.7/16", gw: "10.9.0.7", priority: 5 }],
  dns: { nameservers: ["10.1.0.1"], search: ["example.org"] },
};
const alone = (ipam: unknown = two, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "static",
  ipam,
  ...more,
});
const give = async (config: Config, more: Partial<Call> = {}) => {
  const node = await Node.create();
  return { node, answer: await node.podwire("ADD", { ...(await callFor(node, config)), ...more }) };
};
const addresses = (answer: { result?: { ips?: { address: string; gateway?: string }[] } }): string[] =>
  (answer.result?.ips ?? []).map(({ address, gateway }) => (gateway ? `${address} via ${gateway}` : address));

describe("static by itself", () => {
  test("gives what is configured, in order", async () => {
    const { answer } = await give(alone());
    expect(answer.result).toEqual({
      cniVersion: "1.1.0",
      ips: [{ address: "10.9.0.20/24", gateway: "10.9.0.1" }, { address: "fd00:9::20/64" }],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "192.168.1.7/16", gw: "10.9.0.7", priority: 5 }],
      dns: { nameservers: ["10.1.0.1"], search: ["example.org"] },
    });
  });

  test.each<[string, object, string, string[]]>([
    [
      "CNI_ARGS adds",
      {},
      "IP=10.9.1.5/24,fd00:8::5/64;GATEWAY=10.9.1.1,fd00:8::1,10.77.0.1",
      ["10.9.0.20/24 via 10.9.0.1", "fd00:9::20/64", "10.9.1.5/24 via 10.9.1.1", "fd00:8::5/64 via fd00:8::1"],
    ],
    [
      "a gateway of CNI_ARGS is no configured address's",
      {},
      "GATEWAY=fd00:9::1",
      ["10.9.0.20/24 via 10.9.0.1", "fd00:9::20/64"],
    ],
    [
      "blanks around the commas of CNI_ARGS",
      {},
      "IP= 10.9.1.5/24, 10.9.2.5/24 ;GATEWAY= 10.9.1.1, 10.9.2.1",
      ["10.9.0.20/24 via 10.9.0.1", "fd00:9::20/64", "10.9.1.5/24 via 10.9.1.1", "10.9.2.5/24 via 10.9.2.1"],
    ],
    [
      "an IPv4 address in IPv6's form",
      { ipam: { type: "static", addresses: [{ address: "::ffff:10.9.0.5/120", gateway: "::ffff:10.9.0.1" }] } },
      "",
      ["10.9.0.5/24 via 10.9.0.1"],
    ],
    ["args.cni.ips replaces", { args: { cni: { ips: ["10.9.2.5/24"] } } }, "IP=10.9.1.5/24", ["10.9.2.5/24"]],
    [
      "runtimeConfig.ips replaces that",
      { args: { cni: { ips: ["10.9.2.5/24"] } }, runtimeConfig: { ips: ["10.9.3.5/24"] } },
      "IP=10.9.1.5/24",
      ["10.9.3.5/24"],
    ],
    [
      "an empty list replaces nothing",
      { runtimeConfig: { ips: [] } },
      "",
      ["10.9.0.20/24 via 10.9.0.1", "fd00:9::20/64"],
    ],
  ])("%s", async (_what, more, args, expected) => {
    const { node, answer } = await give(alone(two, more), { args });
    expect(addresses(answer)).toEqual(expected);
    if (!reference.newest) return;
    const theirs = await node.reference("ADD", { ...(await callFor(node, alone(two, more))), args });
    expect(theirs.result).toEqual(answer.result);
  });

  const route = { dst: "10.3.0.5/16", table: 5, scope: 253, priority: 3, mtu: 1400, advmss: 1300 };
  const alike: [string, object, string?][] = [
    ["routes without an address", { routes: [route, route] }],
    ["null for each key", { addresses: null, routes: null, dns: null }],
    ["an empty DNS", { addresses: [{ address: "10.9.0.5/24" }], dns: {} }],
    ["one family in the oldest version", { addresses: [{ address: "10.9.0.5/24" }], routes: [route] }, "0.1.0"],
    ["both families in an old version", { ...two, routes: [{ dst: "0.0.0.0/0" }] }, "0.2.0"],
    ["routes with all they can have, as of then", { addresses: [{ address: "fd00::5/64" }], routes: [route] }, "0.4.0"],
  ];
  test.runIf(reference.newest).each(alike)(
    "gives what the reference gives: %s",
    async (_what, ipam, version = "1.1.0") => {
      const node = await Node.create();
      const call = await callFor(node, alone({ type: "static", ...ipam }, { cniVersion: version }));
      const { result } = await node.succeed("ADD", call);
      expect((await node.reference("ADD", call)).result).toEqual(result);
    },
  );

  test.each<[string, Config, string, RegExp]>([
    ["leading zeros", alone({ type: "static", addresses: [{ address: "10.01.2.3/24" }] }), "", /address is "10\.01\./],
    ["a zone", alone({ type: "static", addresses: [{ address: "fe80::1%lo/64" }] }), "", /address is "fe80::1%lo/],
    [
      "an address without length",
      alone({ type: "static", addresses: [{ address: "10.9.0.5" }] }),
      "",
      /ipam\.addresses\[0\]\.address is "10\.9\.0\.5", must be an address with a prefix length/,
    ],
    ["no address", alone({ type: "static", addresses: [{}] }), "", /ipam\.addresses\[0\]\.address/],
    [
      "a gateway",
      alone({ type: "static", addresses: [{ address: "10.9.0.5/24", gateway: "x" }] }),
      "",
      /ipam\.addresses\[0\]\.gateway is "x"/,
    ],
    ["a route", alone({ type: "static", routes: [{ dst: "x" }] }), "", /ipam\.routes\[0\]\.dst is "x"/],
    ["no ipam", alone(null), "", /ipam/],
    [
      "runtimeConfig.ips",
      alone(two, { runtimeConfig: { ips: ["10.9.0.5"] } }),
      "",
      /runtimeConfig\.ips\[0\] is "10\.9\.0\.5"/,
    ],
    ["args.cni.ips", alone(two, { args: { cni: { ips: [5] } } }), "", /args\.cni\.ips\[0\] is 5/],
    ["IP", alone(), "IP=10.9.0.5", /IP has "10\.9\.0\.5"/],
    ["GATEWAY", alone(), "IP=10.9.0.5/24;GATEWAY=x", /GATEWAY has "x"/],
    ["an unknown argument", alone(), "ip=10.9.0.5/24", /ip=/],
    [
      "two of a family in an old version",
      alone(
        { type: "static", addresses: [{ address: "10.9.0.5/24" }, { address: "10.9.0.6/24" }] },
        { cniVersion: "0.2.0" },
      ),
      "",
      /more than 1 address per family/,
    ],
  ])("refuses %s", async (_what, config, args, message) => {
    const { answer } = await give(config, { args });
    const code = args === "" ? 7 : 4;
    expect(failure(answer)).toMatchObject({ code, msg: expect.stringMatching(message) as unknown });
  });

  test("no address is a result, but in versions that cannot say so", async () => {
    expect((await give(alone({ type: "static" }))).answer.result).toEqual({ cniVersion: "1.1.0" });
    const { answer } = await give(alone({ type: "static" }, { cniVersion: "0.2.0" }));
    expect(failure(answer)).toMatchObject({
      code: 1,
      msg: expect.stringContaining("no valid IP addresses") as unknown,
    });
  });

  test("CHECK compares prevResult; DEL, GC and STATUS have nothing to do; DEL reads nothing", async () => {
    const { node, answer } = await give(alone());
    const call = await callFor(node, alone());
    const check = async (prevResult: unknown): Promise<string> => {
      const { exitCode, error } = await node.podwire("CHECK", { ...call, config: { ...call.config, prevResult } });
      return exitCode === 0 ? "" : error!.msg;
    };
    const result = answer.result!;
    const [first, second] = result.ips!;
    expect(await check(result)).toBe("");
    expect(await check({ ...result, ips: [first, { ...second, gateway: "fd00:9::7" }] })).toBe("");
    expect(await check({ ...result, ips: [{ ...first, gateway: "10.9.0.7" }, second] })).toMatch(
      /10\.9\.0\.20\/24 has gateway 10\.9\.0\.7.*not 10\.9\.0\.1/,
    );
    expect(await check({ ...result, ips: [first] })).toMatch(/lacks fd00:9::20\/64/);
    expect(await check(undefined)).toMatch(/prevResult.*missing/);
    await node.succeed("DEL", { ...call, config: alone("x"), netns: "" });
    await node.succeed("STATUS", { plugin: "static", config: alone() });
    await node.succeed("GC", { plugin: "static", config: alone(two, { "cni.dev/valid-attachments": [] }) });
  });
});

describe.each<[string, (node: Node, more: object) => Config]>([
  ["bridge", bridge],
  ["ptp", ptp],
  ["ptp, link-local", (node, more) => ptp(node, { gatewayMode: "link-local", ...more })],
  ["macvlan", macvlan],
])("%s with static", (_what, make) => {
  const ipam = {
    ...two,
    addresses: [
      { address: "10.9.0.20/24", gateway: "10.9.0.1" },
      { address: "fd00:9::20/64", gateway: "fd00:9::1" },
    ],
  };

  test("needs no other program, not even CNI_PATH; lives and leaves nothing", async () => {
    const node = await Node.create();
    await node.outside();
    const config = make(node, { ipam: { ...ipam, dataDir: node.dataDir } });
    await node.succeed("DEL", (await attach(node, config, { path: "" })).call);
    const before = await node.snapshot();
    const attached = await attach(node, config, { path: "" });
    expect([attached.ip4, attached.ip6]).toEqual(["10.9.0.20", "fd00:9::20"]);
    expect(attached.result.dns).toEqual(ipam.dns);
    expect(await complaint(node, attached, { path: "" })).toBe("");
    await attached.pod.ip(
      "address delete 10.9.0.20/" + (await attached.pod.addresses("eth0"))[0]!.split("/")[1] + " dev eth0",
    );
    expect(await complaint(node, attached, { path: "" })).toMatch(/10\.9\.0\.20/);
    await node.succeed("DEL", { ...attached.call, path: "", netns: "" });
    if (config.type === "macvlan") await node.succeed("DEL", { ...attached.call, path: "" });
    expect(await node.snapshot()).toEqual(before);
    expect(node.leases({ all: true })).toEqual({});
  });

  test("a failed ADD leaves nothing; no address is an error", async () => {
    const node = await Node.create();
    await node.outside();
    const wrong = make(node, {
      ipam: { ...ipam, dataDir: node.dataDir },
    });
    const pod = await node.pod();
    await pod.ip("link add eth0 type veth peer name other");
    expect((await refusal(node, await callFor(node, wrong, { netns: pod }))).msg).toMatch(/already exists/);
    const empty = make(node, { ipam: { type: "static", dataDir: node.dataDir } });
    expect(await refusal(node, await callFor(node, empty))).toMatchObject({
      code: 7,
      msg: expect.stringContaining("ipam.addresses is empty") as unknown,
    });
    expect(node.leases({ all: true })).toEqual({});
  });
});

test("static of podwire serves the reference's macvlan", async () => {
  if (!reference.newest) return;
  const node = await Node.create();
  await node.outside();
  // it takes no route with host bits
  const config = macvlan(node, { ipam: { ...two, routes: [{ dst: "0.0.0.0/0" }] } });
  const call = { ...(await callFor(node, config)), path: podwireFolder() };
  const added = await node.reference("ADD", call);
  expect(addresses(added)).toEqual(["10.9.0.20/24 via 10.9.0.1", "fd00:9::20/64"]);
  const checked = await node.reference("CHECK", { ...call, config: { ...config, prevResult: added.result } });
  expect([checked.exitCode, checked.stdout]).toEqual([0, ""]);
  expect((await node.reference("DEL", call)).exitCode).toBe(0);
});

import { execa } from "execa";
import { describe, expect, test } from "vitest";
import {
  attach,
  bridge,
  callFor,
  complaint,
  type Config,
  defaultRoutes,
  dualStack,
  hostLocal,
  ptp,
  v6,
} from "./configs.ts";
import { Node } from "./harness.ts";

const kinds: [string, (node: Node, more?: object) => Config][] = [
  [
    "bridge",
    (node, more) =>
      bridge(node, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node), ...more }),
  ],
  ["ptp", (node, more) => ptp(node, { ipMasq: true, ipam: dualStack(node, { routes: defaultRoutes }), ...more })],
  [
    "ptp, link-local",
    (node, more) => ptp(node, { gatewayMode: "link-local", ipMasq: true, ipam: dualStack(node), ...more }),
  ],
];

describe.each(kinds)("%s in odd surroundings", (_kind, config) => {
  test("many at once on an empty node: all are wired, nothing is left afterwards", async () => {
    const node = await Node.create();
    const calls = await Promise.all(Array.from({ length: 8 }, async () => callFor(node, config(node))));
    const added = await Promise.all(calls.map(async (call) => node.podwire("ADD", call)));
    expect(added.map(({ exitCode, stdout }) => (exitCode === 0 ? "" : stdout))).toEqual(calls.map(() => ""));
    const addresses = added.flatMap(({ result }) => result!.ips!.map(({ address }) => address));
    expect(new Set(addresses).size).toBe(16);
    const checked = await Promise.all(
      calls.map(async (call, at) =>
        node.podwire("CHECK", { ...call, config: { ...call.config, prevResult: added[at]!.result } }),
      ),
    );
    expect(checked.map(({ stdout }) => stdout)).toEqual(calls.map(() => ""));
    const removed = await Promise.all(calls.map(async (call) => node.podwire("DEL", call)));
    expect(removed.map(({ stdout }) => stdout)).toEqual(calls.map(() => ""));
    expect([node.leases(), (await node.links()).filter(({ ifname }) => ifname.startsWith("veth"))]).toEqual([{}, []]);
    expect(await node.rulesetText()).not.toContain("container-");
  });

  test("names as long and as strange as the specification allows", async () => {
    const node = await Node.create();
    const name = `n${".long-".repeat(40)}_`;
    const before = await node.snapshot();
    const attached = await attach(node, config(node, { name }), {
      containerId: `c${"_-.Z9".repeat(30)}`,
      ifname: 'a"$;{}(s\\é*',
    });
    expect(await complaint(node, attached)).toBe("");
    await node.succeed("DEL", { ...attached.call, netns: "" });
    const { links, leases } = await node.snapshot();
    expect([links.filter(({ kind }) => kind === "veth"), leases]).toEqual([[], before.leases]);
    expect(await node.rulesetText()).not.toContain("_-.Z9");
  });

  test("a namespace with IPv6 switched off gets it where it has an address, and lo too", async () => {
    const node = await Node.create();
    await node.ip("address add fd00:200::1/128 dev lo");
    const pod = await node.pod();
    for (const of of ["all", "default", "lo"]) await pod.setSysctl(`net/ipv6/conf/${of}/disable_ipv6`, 1);
    const attached = await attach(node, config(node), { netns: pod });
    expect([await pod.addresses("eth0"), await pod.sysctl("net/ipv6/conf/lo/disable_ipv6")]).toMatchObject([
      { length: 2 },
      "0",
    ]);
    expect(await pod.ping("fd00:200::1")).toBe(true);
    expect(await complaint(node, attached)).toBe("");
  });

  test("IPv6 alone", async () => {
    const node = await Node.create();
    await node.ip("address add fd00:200::1/128 dev lo");
    const ipam = hostLocal(node, { ...v6, routes: [{ dst: "::/0" }] });
    const [one, two] = [await attach(node, config(node, { ipam })), await attach(node, config(node, { ipam }))];
    expect([one.ip4, await one.pod.ping(two.ip6), await one.pod.ping("fd00:200::1")]).toEqual(["", true, true]);
    expect([await complaint(node, two), await node.sysctl("net/ipv4/ip_forward")]).toEqual(["", "0"]);
  });

  test("CNI_NETNS as a path below /proc", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const sleeper = execa("nsenter", [`--net=${pod.path}`, "--", "cat"], { reject: false });
    const netns = `/proc/${sleeper.pid}/ns/net`;
    // nsenter is in the pod's namespace once it executed cat
    for (;;) if ((await execa("readlink", [netns])).stdout === (await pod.inode())) break;
    const attached = await attach(node, config(node), { netns });
    expect([attached.result.interfaces?.at(-1)?.sandbox, await complaint(node, attached)]).toEqual([netns, ""]);
    await node.succeed("DEL", attached.call);
    expect(await pod.link("eth0")).toBeUndefined();
    sleeper.kill("SIGKILL");
    await sleeper;
  });

  test("an interface name that is not eth0", async () => {
    const node = await Node.create();
    const attached = await attach(node, config(node), { ifname: "net-15-bytes-xx" });
    expect([await attached.pod.addresses("net-15-bytes-xx"), await complaint(node, attached)]).toMatchObject([
      { length: 2 },
      "",
    ]);
  });
});

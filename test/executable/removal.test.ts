import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  bareEnvironment,
  bridge,
  callFor,
  complaint,
  type Config,
  dualStack,
  everything,
  failure,
  hostDevice,
  hostLocal,
  macvlan,
  type More,
  ptp,
  wirings,
  v4,
} from "./configs.ts";
import { type Namespace, Node, reference } from "./harness.ts";

const kinds: typeof wirings = [
  ...wirings,
  ["bridge without IPAM", (node) => bridge(node, { ipam: undefined, macspoofchk: true })],
];

const removeNamespace = async ({ pod }: Attached): Promise<void> => pod.remove();
const removeLease = (node: Node, { ip4, ip6 }: Attached): void =>
  [ip4, ip6].filter(Boolean).forEach((ip) => rmSync(join(node.dataDir, "net", ip)));

/** What is missing when DEL comes: done to the node beforehand, and the call and keys it comes with. */
const missing: [
  string,
  {
    before?(node: Node, attached: Attached): Promise<unknown>;
    call?(node: Node, attached: Attached): Promise<More>;
    config?: object;
  },
][] = [
  ["nothing", {}],
  ["CNI_NETNS", { call: async () => ({ netns: "" }) }],
  ["the namespace", { before: async (_node, attached) => removeNamespace(attached) }],
  ["the namespace, whose path is a plain file now", { call: async () => ({ netns: "/etc/hostname" }) }],
  ["the interface", { before: async (_node, { pod }) => pod.ip("link delete eth0") }],
  ["the lease", { before: async (node, attached) => removeLease(node, attached) }],
  [
    "namespace and lease",
    { before: async (node, attached) => removeNamespace(attached).then(() => removeLease(node, attached)) },
  ],
  ["CNI_PATH and PATH", { call: async () => ({ env: { ...bareEnvironment(), CNI_PATH: "" } }) }],
  [
    "valid keys",
    { config: { mtu: "wrong", vlan: 9999, isGateway: 3, dns: 7, gatewayMode: "none", runtimeConfig: { mac: "x" } } },
  ],
  ["valid CNI_ARGS", { call: async () => ({ args: "x;MAC=no;K8S=1" }) }],
  ["a readable prevResult", { config: { prevResult: { cniVersion: "9.9.9", ips: "x" } } }],
];

describe("DEL takes everything away", () => {
  describe.each(kinds)("%s", (kind, config) => {
    // the iptables backend is the one that needs its tools
    const ways = missing.filter(([what]) => !(kind.endsWith("iptables") && what.includes("PATH")));
    test.each(ways)("when %s is missing", async (_what, { before, call, config: more }) => {
      const node = await Node.create();
      const other = await attach(node, config(node));
      const clean = await node.snapshot();
      const attached = await attach(node, config(node));
      await before?.(node, attached);
      const del = { ...attached.call, config: { ...attached.call.config, ...more }, ...(await call?.(node, attached)) };
      await node.succeed("DEL", del);
      expect(await node.snapshot()).toEqual(clean);
      await node.succeed("DEL", del);
      expect(await node.snapshot()).toEqual(clean);
      expect(await complaint(node, other)).toBe("");
    });

    test("with prevResult, and of the last pod: only what is shared is left", async () => {
      const node = await Node.create();
      const attached = await attach(node, config(node));
      await node.succeed("DEL", { ...attached.call, config: { ...attached.call.config, prevResult: attached.result } });
      expect((await node.links()).filter(({ ifname }) => ifname.startsWith("veth"))).toEqual([]);
      expect([node.leases(), (await node.routes()).filter(({ dev }) => dev !== "br0")]).toEqual([{}, []]);
      expect(await node.rulesetText()).not.toContain(attached.call.containerId);
      expect(await attached.pod.link("eth0")).toBeUndefined();
    });

    test("in another pod's namespace: that pod is untouched", async () => {
      const node = await Node.create();
      const victim = await attach(node, config(node));
      const clean = await node.snapshot();
      const attached = await attach(node, config(node));
      await node.succeed("DEL", { ...attached.call, netns: victim.pod });
      await node.succeed("DEL", {
        ...attached.call,
        netns: victim.pod,
        config: { ...attached.call.config, prevResult: attached.result },
      });
      expect(await node.snapshot()).toEqual(clean);
      expect(await complaint(node, victim)).toBe("");
    });
  });

  test("without the bridge", async () => {
    const node = await Node.create();
    const attached = await attach(node, everything(node));
    await node.ip("link delete br0");
    await node.succeed("DEL", attached.call);
    expect([node.leases(), (await node.links()).map(({ ifname }) => ifname)]).toEqual([{}, ["lo"]]);
    expect(await node.rulesetText()).not.toContain(attached.call.containerId);
  });

  test.each<[string, (node: Node) => Config]>([
    ["bridge", bridge],
    ["ptp", ptp],
    ["macvlan", macvlan],
    ["tap", (node) => ({ cniVersion: "1.1.0", name: "net", type: "tap", ipam: hostLocal(node) })],
    ["host-device", (node) => hostDevice(node, { device: "lan0" })],
  ])("under the name the pod has given its link, with its lease: %s", async (_what, make) => {
    const node = await Node.create();
    await node.outside();
    await node.ip("link add lan0 type veth peer name far0");
    const before = (await node.links()).map(({ ifname }) => ifname).filter((name) => name !== "br0");
    for (const more of [{}, { alias: "x" }]) {
      const { call, pod, result } = await attach(node, make(node));
      for (const line of ["down", "name other", ...("alias" in more ? ["alias x"] : [])]) {
        await pod.ip(`link set ${line.startsWith("alias") ? "other" : "eth0"} ${line}`);
      }
      // who takes the alias away too is known by the MAC
      const config = { ...call.config, ...("alias" in more && { prevResult: result }) };
      await node.succeed("DEL", { ...call, config });
      expect((await pod.links()).map(({ ifname }) => ifname)).toEqual(["lo"]);
      const links = (await node.links()).map(({ ifname }) => ifname).filter((name) => name !== "br0");
      expect([links.toSorted(), node.leases()]).toEqual([before.toSorted(), {}]);
    }
  });

  test("of an attachment that never was: success, and nothing is made", async () => {
    const node = await Node.create();
    const before = await node.snapshot();
    for (const make of [everything, ptp]) await node.succeed("DEL", await callFor(node, make(node)));
    expect(await node.snapshot()).toEqual(before);
  });

  test("leaves a foreign interface of that name in the container alone", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    await pod.ip("link add name eth0 type bridge");
    await node.succeed("DEL", await callFor(node, everything(node), { netns: pod }));
    expect(await pod.link("eth0")).toBeDefined();
  });

  test("in the plugin's own namespace is error 8, before anything is touched", async () => {
    const node = await Node.create();
    const attached = await attach(node, everything(node));
    const before = await node.snapshot();
    expect(failure(await node.podwire("DEL", { ...attached.call, netns: node })).code).toBe(8);
    expect(await node.snapshot()).toEqual(before);
  });

  test("of one of two interfaces leaves the other, its rules and its lease", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const first = await attach(node, everything(node), { netns: pod, containerId: "one" });
    const clean = await node.snapshot();
    const second = await attach(node, everything(node, { isDefaultGateway: false, isGateway: true }), {
      netns: pod,
      containerId: "one",
      ifname: "net1",
    });
    await node.succeed("DEL", { ...second.call, netns: "" });
    expect(await node.snapshot()).toEqual(clean);
    expect(await complaint(node, first)).toBe("");
  });

  test("a changed configuration still finds what was made: subnet, bridge and backend differ", async () => {
    const node = await Node.create();
    await attach(node, everything(node));
    const clean = await node.snapshot();
    const { call } = await attach(node, everything(node));
    const changed = {
      bridge: "br1",
      ipMasq: false,
      macspoofchk: false,
      ipam: hostLocal(node, { subnet: "10.99.0.0/24" }),
    };
    await node.succeed("DEL", { ...call, netns: "", config: { ...call.config, ...changed } });
    expect(await node.snapshot()).toEqual(clean);
  });

  const given = { type: "static", addresses: [{ address: "10.9.0.2/24", gateway: "10.9.0.1" }] };
  const theirs: [string, (node: Node) => Config][] = [
    ["bridge, iptables, its default", (node) => bridge(node, { isGateway: true, ipMasq: true, ipam: dualStack(node) })],
    [
      "bridge, nftables",
      (node) => bridge(node, { isGateway: true, ipMasq: true, ipMasqBackend: "nftables", macspoofchk: true }),
    ],
    ["ptp", (node) => ptp(node, { ipMasq: true, ipam: hostLocal(node, v4) })],
    [
      "bridge with static addresses, nftables",
      (node) => bridge(node, { ipMasq: true, ipMasqBackend: "nftables", macspoofchk: true, ipam: given }),
    ],
    ["bridge with static addresses, iptables", (node) => bridge(node, { ipMasq: true, ipam: given })],
    ["bridge without IPAM, nftables", (node) => bridge(node, { macspoofchk: true, ipam: undefined })],
    ["ptp with static addresses", (node) => ptp(node, { ipMasq: true, ipam: given })],
  ];
  // Debian's v1.1.1 has no nftables backend
  const possible = theirs.filter(([what]) => reference.newest || !what.includes("nftables"));

  const ways = possible.flatMap(
    ([what, config]) =>
      [
        [what, config, false],
        [`${what}, whose namespace is gone`, config, true],
      ] as const,
  );

  test.each(ways)("of a pod the reference made: %s", async (_what, config, gone) => {
    const node = await Node.create();
    const version = reference.newest ? {} : { cniVersion: "1.0.0" };
    const make = async (): Promise<Attached["call"]> => {
      const call = await callFor(node, { ...config(node), ...version });
      expect((await node.reference("ADD", call)).exitCode).toBe(0);
      return call;
    };
    await make();
    const clean = await node.snapshot();
    const call = await make();
    if (gone) await (call.netns as Namespace).vanish();
    await node.succeed("DEL", call);
    const { ruleset: _ruleset, ...after } = await node.snapshot();
    expect({ ...after, ruleset: clean.ruleset }).toEqual(clean);
    const rules = await Promise.all([node.rulesetText(), node.must("iptables-save"), node.must("ip6tables-save")]);
    expect(rules.join("\n")).not.toContain(call.containerId);
  });
});

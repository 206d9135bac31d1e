import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { flannel } from "../configs.ts";
import { podwireFolder, reference, type Call, type Namespace, type Node } from "../harness.ts";

export const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/** A configuration that is run on podwire and on the reference, step by step. */
export interface Scenario {
  name: string;
  plugin: string;
  /** without `cniVersion` and `name`, which every scenario gets */
  config(node: Node, version: string): Record<string, unknown>;
  call?: Partial<Call>;
  /** absent: all of them, most in short */
  versions?: string[];
  /** uses what Debian's v1.1.1 lacks */
  newestOnly?: boolean;
  /** what the node, or its two pods, must have */
  prepare?(node: Node, pods: Namespace[]): Promise<void>;
  /** something to see while both pods are there, or the one */
  between?(node: Node, pods: Namespace[]): Promise<unknown>;
  /** false: adding twice is no error for this plugin, or its outcome is ruled otherwise */
  duplicate?: boolean;
  /** true: one ADD, CHECK and DEL, and no more */
  once?: boolean;
  /** true where a ruling gives another result than the reference's; the wiring is still compared */
  looseResult?(version: string): boolean;
}

type Make = (node: Node) => Record<string, unknown>;
const configured = (make: Make) => (node: Node, version: string) => ({
  cniVersion: version,
  name: "differential",
  ...make(node),
});
const hostLocal = (node: Node, more: object) => ({ type: "host-local", dataDir: node.dataDir, ...more });
/** One version of each shape of result, for scenarios that are about wiring. */
export const shapes = ["0.2.0", "0.4.0", "1.1.0"];

const v4 = { subnet: "10.9.0.0/24" };
const v6 = { subnet: "fd00:9::/64" };
const defaults = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];

/** What a machine outside sees of a pod that connects to it. */
async function seenOutside(node: Node, pods: Namespace[], families: (4 | 6)[]): Promise<unknown> {
  const outside = await node.outside();
  await outside.listen(8080);
  const seen = [];
  for (const family of families) {
    const { from } = await pods[0]!.connect(family === 4 ? outside.address4 : outside.address6, 8080);
    seen.push(from === (family === 4 ? outside.node4 : outside.node6) ? "the node" : from);
  }
  return { seen, neighbour: await pods[0]!.ping("10.9.0.3") };
}

/**
 * The nat table's rules, without the one podwire adds: it has no target, and its comment tells whose interface an
 * address is.
 */
async function natRules(node: Node, command: string): Promise<string[]> {
  const rules = (await node.must(command, "-t", "nat", "-S")).trim().split("\n");
  return rules.filter((rule) => !(rule.includes('"interface: ') && !rule.includes(" -j ")));
}

export const scenarios: Scenario[] = [
  {
    name: "bridge, addresses only",
    versions: shapes,
    plugin: "bridge",
    config: configured((node) => ({ bridge: "br0", ipam: hostLocal(node, v4) })),
  },
  {
    name: "bridge as gateway with masquerade",
    plugin: "bridge",
    config: configured((node) => ({ bridge: "br0", isDefaultGateway: true, ipMasq: true, ipam: hostLocal(node, v4) })),
    between: async (node, pods) => seenOutside(node, pods, [4]),
  },
  {
    name: "bridge with everything, dual stack",
    plugin: "bridge",
    config: configured((node) => ({
      bridge: "br0",
      isDefaultGateway: true,
      ipMasq: true,
      hairpinMode: true,
      mtu: 1400,
      dns: { nameservers: ["10.1.0.1"], domain: "example.org", search: ["a.example.org"], options: ["ndots:5"] },
      ipam: hostLocal(node, { ranges: [[v4], [v6]] }),
    })),
    between: async (node, pods) => seenOutside(node, pods, [4, 6]),
  },
  {
    name: "bridge with masquerade by iptables",
    plugin: "bridge",
    versions: ["1.0.0"],
    config: configured((node) => ({
      bridge: "br0",
      isDefaultGateway: true,
      ipMasq: true,
      ipMasqBackend: "iptables",
      ipam: hostLocal(node, { ranges: [[v4], [v6]] }),
    })),
    // asked for by name, the rules are the reference's own to the letter
    between: async (node, pods) => [
      await natRules(node, "iptables"),
      await natRules(node, "ip6tables"),
      await seenOutside(node, pods, [4, 6]),
    ],
    newestOnly: true,
  },
  {
    name: "bridge with masquerade by nftables",
    plugin: "bridge",
    versions: ["1.1.0"],
    config: configured((node) => ({
      bridge: "br0",
      isDefaultGateway: true,
      ipMasq: true,
      ipMasqBackend: "nftables",
      ipam: hostLocal(node, { ranges: [[v4], [v6]] }),
    })),
    between: async (node, pods) => seenOutside(node, pods, [4, 6]),
    newestOnly: true,
  },
  {
    name: "bridge with a MAC from CNI_ARGS and a gateway forced on the bridge",
    plugin: "bridge",
    versions: ["0.4.0"],
    prepare: async (node) => {
      await node.ip("link add br0 address 02:00:00:00:00:99 type bridge");
      await node.ip("address add 10.200.0.1/24 dev br0");
    },
    config: configured((node) => ({ bridge: "br0", isGateway: true, forceAddress: true, ipam: hostLocal(node, v4) })),
    call: { args: "IgnoreUnknown=1;MAC=02:00:00:00:00:99" },
  },
  {
    name: "bridge with addresses from another IPAM plugin",
    plugin: "bridge",
    versions: shapes,
    config: configured(() => ({
      bridge: "br0",
      isGateway: true,
      ipam: {
        type: "static",
        addresses: [{ address: "10.9.0.20/24", gateway: "10.9.0.1" }, { address: "fd00:9::20/64" }],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "192.168.0.0/16", gw: "10.9.0.7" }],
        // Debian's bridge puts its own, empty one in place of IPAM's
        ...(reference.newest && { dns: { nameservers: ["10.1.0.1"] } }),
      },
    })),
    call: { path: `/nowhere:${podwireFolder()}:${reference.folder}` },
    duplicate: false,
  },
  {
    name: "ptp with routes and DNS of its own",
    plugin: "ptp",
    newestOnly: true,
    versions: ["0.4.0", "1.1.0"],
    config: configured((node) => ({
      dns: { nameservers: ["10.1.0.1"], search: [] },
      ipam: hostLocal(node, {
        ranges: [[{ ...v4, gateway: "10.9.0.254" }]],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "10.100.0.0/16", gw: "10.9.0.254", priority: 7 }],
      }),
    })),
  },
  {
    name: "bridge, promiscuous, with routes of its own",
    // below 0.3.0 the reference loses the priority of a route between its processes; podwire has no such step
    versions: ["0.4.0", "1.1.0"],
    plugin: "bridge",
    config: configured((node) => ({
      bridge: "br0",
      isGateway: true,
      promiscMode: true,
      ipam: hostLocal(node, {
        ranges: [[{ ...v4, rangeStart: "10.9.0.100", rangeEnd: "10.9.0.101", gateway: "10.9.0.254" }]],
        routes: [
          { dst: "0.0.0.0/0" },
          { dst: "192.168.0.0/16", gw: "10.9.0.7" },
          { dst: "172.16.0.0/12", gw: "10.9.0.8", priority: 50 },
        ],
      }),
    })),
    newestOnly: true,
  },
  {
    name: "bridge with isolated ports and a pod MAC",
    versions: shapes,
    plugin: "bridge",
    config: configured((node) => ({
      bridge: "br0",
      portIsolation: true,
      args: { cni: { mac: "02:00:00:00:00:99" } },
      ipam: hostLocal(node, v4),
    })),
    newestOnly: true,
  },
  {
    name: "bridge without addresses",
    plugin: "bridge",
    config: configured(() => ({ bridge: "br0" })),
    // CHECK of such a bridge always fails in the reference
    versions: ["0.3.0", "0.3.1"],
  },
  {
    name: "ptp",
    plugin: "ptp",
    config: configured((node) => ({ mtu: 1400, ipam: hostLocal(node, { ...v4, routes: [{ dst: "0.0.0.0/0" }] }) })),
  },
  {
    name: "ptp with masquerade",
    versions: shapes,
    plugin: "ptp",
    config: configured((node) => ({
      ipMasq: true,
      ipam: hostLocal(node, { ranges: [[v4]], routes: [{ dst: "0.0.0.0/0" }, { dst: "10.200.0.0/16" }] }),
    })),
    between: async (node, pods) => seenOutside(node, pods, [4]),
  },
  {
    name: "ptp dual stack, as kind has it",
    plugin: "ptp",
    config: configured((node) => ({
      ipMasq: false,
      mtu: 1500,
      ipam: hostLocal(node, { routes: defaults, ranges: [[v4], [v6]] }),
    })),
    versions: ["0.3.1", "1.1.0"],
  },
  {
    name: "macvlan, dual stack",
    plugin: "macvlan",
    versions: ["1.1.0"], // the reference waits for its addresses, seconds each time
    newestOnly: true,
    prepare: async (node) => void (await node.outside()),
    config: configured((node) => ({
      master: "uplink",
      ipam: hostLocal(node, { ranges: [[v4], [v6]], routes: [...defaults, { dst: "10.200.0.0/16", gw: "10.9.0.7" }] }),
    })),
    between: async (_node, pods) => pods[0]!.ping("10.9.0.3"),
  },
  {
    name: "macvlan with every key",
    plugin: "macvlan",
    newestOnly: true,
    prepare: async (node) => {
      const { address4 } = await node.outside();
      await node.ip(`route add default via ${address4}`);
    },
    config: configured((node) => ({
      mode: "private",
      mtu: 1400,
      bcqueuelen: 500,
      dns: { nameservers: ["10.1.0.1"], domain: "example.org" },
      ipam: hostLocal(node, v4),
    })),
    between: async (_node, pods) => {
      const { info_kind, info_data } = (await pods[0]!.link("eth0"))!.linkinfo!;
      return { info_kind, info_data, neighbour: await pods[0]!.ping("10.9.0.3", { timeoutS: 1 }) };
    },
  },
  {
    name: "macvlan without addresses",
    plugin: "macvlan",
    newestOnly: true,
    versions: ["0.4.0", "1.1.0"],
    prepare: async (node) => void (await node.outside()),
    config: configured(() => ({ master: "uplink", mode: "vepa" })),
  },
  {
    name: "tap, dual stack",
    plugin: "tap",
    versions: ["1.1.0"], // as above
    once: true,
    newestOnly: true,
    config: configured((node) => ({
      mtu: 1400,
      multiQueue: true,
      owner: 0,
      dns: { nameservers: ["10.1.0.1"] },
      ipam: hostLocal(node, { ranges: [[v4], [v6]], routes: [...defaults, { dst: "10.200.0.0/16", gw: "10.9.0.7" }] }),
    })),
  },
  {
    name: "tap with an address",
    plugin: "tap",
    newestOnly: true,
    config: configured((node) => ({
      owner: 0,
      multiQueue: true,
      ipam: hostLocal(node, { ...v4, routes: defaults.slice(0, 1) }),
    })),
    between: async (_node, pods) => (await pods[0]!.link("eth0"))!.linkinfo,
    // the reference takes what is there for what it made
    duplicate: false,
  },
  {
    name: "tap without addresses",
    plugin: "tap",
    newestOnly: true,
    versions: ["0.4.0", "1.1.0"],
    config: configured(() => ({ owner: 0, group: 0, multiQueue: true })),
    duplicate: false,
  },
  {
    name: "host-device",
    plugin: "host-device",
    newestOnly: true,
    prepare: async (node) => void (await node.ip("link add lan0 type veth peer name far")),
    config: configured((node) => ({
      device: "lan0",
      dns: { nameservers: ["10.1.0.1"] },
      ipam: hostLocal(node, { ranges: [[v4]], routes: [{ dst: "10.200.0.0/16", gw: "10.9.0.7" }] }),
    })),
    // there is one device, and the reference's second DEL fails
    once: true,
  },
  {
    name: "host-local with ranges, routes and resolvConf",
    plugin: "host-local",
    prepare: async (node) =>
      writeFileSync(
        resolvConf(node),
        "# c\nnameserver 10.1.0.1\nnameserver 10.1.0.2\nsearch a b\ndomain d\noptions ndots:5 rotate\n",
      ),
    config: configured((node) => ({
      ipam: hostLocal(node, {
        ranges: [[{ ...v4, rangeStart: "10.9.0.9", rangeEnd: "10.9.0.10" }, { subnet: "10.8.0.0/30" }], [v6]],
        routes: [{ dst: "1.2.3.4/8" }, { dst: "::/0", gw: "fd00:9::7" }],
        resolvConf: resolvConf(node),
      }),
    })),
  },
  {
    name: "host-local, a requested address",
    versions: shapes,
    plugin: "host-local",
    config: configured((node) => ({ ipam: hostLocal(node, v4) })),
    call: { args: "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.9.0.77" },
  },
  {
    name: "host-local, ranges from the runtime",
    versions: shapes,
    plugin: "host-local",
    config: configured((node) => ({
      runtimeConfig: { ipRanges: [[{ subnet: "10.7.0.0/29" }]] },
      ipam: hostLocal(node, { ranges: [[v6]] }),
    })),
  },
  ...flannelScenarios(),
  {
    name: "static",
    plugin: "static",
    newestOnly: true,
    config: configured(() => ({
      ipam: {
        addresses: [{ address: "10.9.0.20/24", gateway: "10.9.0.1" }, { address: "fd00:9::20/64" }],
        routes: [{ dst: "192.168.1.7/16", gw: "10.9.0.7", priority: 5, mtu: 1400 }, { dst: "::/0" }],
        dns: { nameservers: ["10.1.0.1"], domain: "d", search: ["a", "b"], options: ["ndots:5"] },
      },
    })),
    duplicate: false,
  },
  {
    name: "macvlan with static addresses",
    plugin: "macvlan",
    versions: shapes,
    newestOnly: true,
    prepare: async (node) => void (await node.outside()),
    config: configured(() => ({ master: "uplink", ipam: { type: "static", routes: defaults } })),
    call: { args: "IP=10.9.0.20/24,fd00:9::20/64;GATEWAY=10.9.0.1;IgnoreUnknown=1", path: reference.folder },
    duplicate: false,
  },
  {
    name: "loopback",
    plugin: "loopback",
    config: configured(() => ({})),
    call: { ifname: "lo" },
    duplicate: false,
    looseResult: (version) => version.startsWith("0."),
  },
];

/** A file of the node for host-local's key of that name. */
export const resolvConf = (node: Node): string => join(node.dataDir, "..", `resolv-${node.name}`);

/** flannel's plugin is no part of the reference's set: it is compared where test/runner/reference could build it. */
function flannelScenarios(): Scenario[] {
  if (!existsSync(join(reference.folder, "flannel"))) return [];
  const routes = [{ dst: "0.0.0.0/0" }, { dst: "10.50.0.0/16", junk: 1 }];
  const far = [{ dst: "10.50.0.0/16", gw: "10.42.3.9", priority: 7 }];
  const made = (node: Node, version: string, keys: object): Record<string, unknown> => {
    const {
      name: _name,
      type: _type,
      ...config
    } = flannel(node, { cniVersion: version, name: "differential", ...keys });
    return { ...config, name: "differential" };
  };
  return [
    { name: "flannel, dual stack", plugin: "flannel", config: (node, version) => made(node, version, {}) },
    {
      name: "flannel, a bridge with routes of its own",
      plugin: "flannel",
      versions: ["0.4.0", "1.1.0"],
      config: (node, version) =>
        made(node, version, {
          delegate: { bridge: "br0", mtu: 1300, ipMasq: false },
          ipam: { routes: far, dataDir: node.dataDir },
        }),
    },
    {
      name: "flannel with ptp and routes of its own",
      plugin: "flannel",
      versions: shapes,
      config: (node, version) =>
        made(node, version, {
          delegate: { type: "ptp", mtu: 1300 },
          ipam: { routes, dataDir: node.dataDir },
        }),
    },
  ];
}

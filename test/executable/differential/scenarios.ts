import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { flannel } from "../configs.ts";
import { reference, type Node } from "../harness.ts";
import { bridgeScenarios } from "./bridge-scenarios.ts";
import { type Scenario, configured, hostLocal, shapes, v4, v6, defaults, seenOutside } from "./scenario.ts";

export const scenarios: Scenario[] = [
  ...bridgeScenarios,
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

import { podwireFolder, reference } from "../harness.ts";
import { type Scenario, configured, hostLocal, shapes, v4, v6, seenOutside, natRules } from "./scenario.ts";

/** Pods of a bridge. */
export const bridgeScenarios: Scenario[] = [
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
];

import { describe, expect, test } from "vitest";
import { loadConf, type NetworkList } from "./harness.ts";
import { makes as kinds } from "./doctor-makes.ts";
import { alarms } from "./alarms.ts";
import { Scene, wrongs } from "./scene.ts";

// Nothing is wrong with these: doctor must not say that anything is.

const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
const mapped = { capabilities: { portMappings } };
const changed = (file: string, at: number, more: object): NetworkList => {
  const list = loadConf(file);
  return { ...list, plugins: list.plugins.map((plugin, n) => (n === at ? { ...plugin, ...more } : plugin)) };
};

/** What kube-proxy keeps on a node, in its iptables mode: a Service with an endpoint, and its forward chain. */
const kubeIptables = [
  "iptables -t filter -N KUBE-FORWARD",
  "iptables -t filter -A FORWARD -m comment --comment 'kubernetes forwarding rules' -j KUBE-FORWARD",
  "iptables -t filter -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
  "iptables -t filter -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
  "iptables -t filter -A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "iptables -t nat -N KUBE-SERVICES",
  "iptables -t nat -N KUBE-NODEPORTS",
  "iptables -t nat -N KUBE-SEP",
  "iptables -t nat -A KUBE-SEP -p tcp -m tcp -j DNAT --to-destination 10.244.0.9:80",
  "iptables -t nat -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SEP",
  "iptables -t nat -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
  "iptables -t nat -A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-SEP",
  "iptables -t nat -A PREROUTING -j KUBE-SERVICES",
  "iptables -t nat -A OUTPUT -j KUBE-SERVICES",
];
/** As in its nftables mode. */
const kubeNftables = [
  "nft add table ip kube-proxy",
  "nft add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }",
  "nft add map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict ; }",
  "nft add chain ip kube-proxy endpoint",
  "nft add rule ip kube-proxy endpoint meta l4proto tcp dnat to 10.244.0.9:80",
  "nft add element ip kube-proxy service-ips { 10.96.0.1 . tcp . 443 : goto endpoint }",
  "nft add element ip kube-proxy service-nodeports { tcp . 30080 : goto endpoint }",
  "nft add chain ip kube-proxy services",
  "nft add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips",
  "nft add rule ip kube-proxy services fib daddr type local meta l4proto . th dport vmap @service-nodeports",
  "nft add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority dstnat ; }",
  "nft add rule ip kube-proxy nat-prerouting jump services",
  "nft add chain ip kube-proxy filter-forward { type filter hook forward priority -110 ; }",
  "nft add map ip kube-proxy no-endpoints { type ipv4_addr . inet_proto . inet_service : verdict ; }",
  "nft add chain ip kube-proxy reject-chain",
  "nft add rule ip kube-proxy reject-chain reject",
  "nft add element ip kube-proxy no-endpoints { 10.96.0.2 . tcp . 80 : goto reject-chain }",
  "nft add rule ip kube-proxy filter-forward ct state new ip daddr . meta l4proto . th dport vmap @no-endpoints",
];
/** As docker leaves it where an administrator lets pods through. */
const docker = [
  "iptables -P FORWARD DROP",
  ...["DOCKER", "DOCKER-USER", "DOCKER-FORWARD"].map((chain) => `iptables -N ${chain}`),
  "iptables -A FORWARD -j DOCKER-USER",
  "iptables -A FORWARD -j DOCKER-FORWARD",
  "iptables -A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "iptables -A DOCKER-FORWARD -i docker0 -j ACCEPT",
  "iptables -A DOCKER ! -i docker0 -o docker0 -j DROP",
  "iptables -A DOCKER-USER -s 10.244.0.0/16 -j ACCEPT",
  "iptables -A DOCKER-USER -d 10.244.0.0/16 -j ACCEPT",
  "iptables -t nat -N DOCKER",
  "iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
  "iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 9090 -j DNAT --to-destination 172.17.0.2:90",
];
/** A firewall of an administrator, in nft's language. */
const firewall = [
  "nft add table inet fw",
  "nft add chain inet fw forward { type filter hook forward priority filter ; policy drop ; }",
  "nft add rule inet fw forward ct state vmap { established : accept, related : accept, invalid : drop }",
  "nft add rule inet fw forward ip saddr 10.244.0.0/16 accept",
  "nft add rule inet fw forward ip6 saddr fd00::/8 accept",
  "nft add rule inet fw forward ct status dnat accept",
];

const makes: [string, () => Promise<Scene>][] = [
  ["bridge", async () => Scene.make(loadConf("bridge.json"))],
  ["bridge, dual stack", async () => Scene.make(loadConf("bridge-dual-stack.json"))],
  ["bridge, isolated ports", async () => Scene.make(loadConf("bridge-isolated.json"))],
  ["bridge, layer 2 alone", async () => Scene.make(loadConf("bridge-l2.json"))],
  ["bridge with ports of its own", async () => Scene.make(loadConf("bridge-ports.json"), mapped)],
  ["bridge and portmap", async () => Scene.make(loadConf("bridge-portmap.conflist"), mapped)],
  [
    "bridge, masquerading by iptables",
    async () => Scene.make(changed("bridge.json", 0, { ipMasqBackend: "iptables" })),
  ],
  ["bridge, MACs checked", async () => Scene.make(changed("bridge.json", 0, { macspoofchk: true }))],
  ["ptp", async () => Scene.make(loadConf("ptp.json"))],
  ["ptp, dual stack", async () => Scene.make(loadConf("ptp-dual-stack.json"))],
  ["ptp, link-local", async () => Scene.make(loadConf("ptp-link-local.json"))],
  ["ptp, MTU 1400", async () => Scene.make(changed("ptp.json", 0, { mtu: 1400 }))],
  ["kindnet's", async () => Scene.make(loadConf("kindnet.conflist"), mapped)],
  ["kindnet's, dual stack", async () => Scene.make(loadConf("kindnet-dual-stack.conflist"), mapped)],
  ["kindnet's, IPv6", async () => Scene.make(loadConf("kindnet-ipv6.conflist"), mapped)],
  ["portmap by iptables", async () => Scene.make(changed("kindnet.conflist", 1, { backend: "iptables" }), mapped)],
  ...(
    [
      "macvlan",
      "host-device",
      "tap",
      "tuning",
      "bandwidth",
      "sbr",
      "firewall",
      "firewall, isolated",
      "firewall, iptables",
      "k3s",
      "flannel",
      "nerdctl",
    ] as const
  ).map((name): [string, () => Promise<Scene>] => [name, kinds[name]]),
  ["the reference's bridge", async () => Scene.make(loadConf("bridge.json"), { by: "reference" })],
  [
    "the reference's kindnet chain",
    async () => Scene.make(loadConf("kindnet.conflist"), { by: "reference", ...mapped }),
  ],
  ["a runtime that keeps no results", async () => Scene.make(loadConf("kindnet.conflist"), { forgetful: true })],
  ["ptp, three of them", async () => Scene.make(loadConf("ptp.json"), { pods: 3 })],
];
const neighbours: [string, string[]][] = [
  ["kube-proxy in its iptables mode", kubeIptables],
  ["kube-proxy in its nftables mode", kubeNftables],
  ["docker, its DROP opened for pods", docker],
  ["a firewall in nftables, opened for pods", firewall],
];

describe("doctor raises no false alarm", () => {
  test.each(makes)("on a node whose pods are made by %s", async (_make, make) => {
    expect(await alarms(await make())).toEqual([]);
  });

  test.each(neighbours)("beside %s", async (_who, commands) => {
    const scene = await Scene.make(loadConf("kindnet-dual-stack.conflist"), mapped);
    for (const line of commands) await scene.node.must("sh", "-c", line.replace(/^nft (.*)$/, "nft '$1'"));
    expect(await alarms(scene)).toEqual([]);
  });

  test("and changes nothing", async () => {
    const scene = await Scene.make(loadConf("kindnet-dual-stack.conflist"), mapped);
    const before = [await scene.node.snapshot(), scene.node.leases({ all: true })];
    await scene.run();
    await scene.run("web-1");
    expect([await scene.node.snapshot(), scene.node.leases({ all: true })]).toEqual(before);
  });

  test("on a node without pods and networks", async () => {
    const scene = await Scene.make(loadConf("ptp.json"), { pods: 0 });
    const { node, exitCode } = await scene.examineNode();
    expect([wrongs(node), exitCode]).toEqual([[], 0]);
    expect(node.find(({ layer }) => layer === "pods")).toMatchObject({ state: "skip" });
  });
});

import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Call, Verb } from "../harness/invoke.ts";
import type { Namespace } from "../harness/namespace.ts";
import type { Node } from "../harness/node.ts";
import type { Side } from "./sides.ts";

/** A cycle of ADD, CHECK and DEL to be timed on both sides. */
export interface Case {
  name: string;
  /** the plugins of the chain in order; DEL runs them backwards */
  plugins(side: Side): Record<string, unknown>[];
  /** what the node must have */
  prepare?(node: Node, side: Side): Promise<unknown>;
  /** 1.0.0 when absent */
  version?: string;
  rounds?: number;
  /** the plugin of the chain that is timed; absent: all of them */
  timed?: string;
  /** the share of the reference's time that podwire may take */
  targets?: Partial<Record<Verb, number>>;
}

const v4 = { subnet: "10.60.0.0/16" };
const v6 = { subnet: "fd00:60::/64" };
const route4 = { dst: "0.0.0.0/0" };
const route6 = { dst: "::/0" };
const hostLocal = (side: Side, more: object) => ({ type: "host-local", dataDir: side.node.dataDir, ...more });
const bridge = (side: Side, more: object = {}) => ({
  type: "bridge",
  bridge: "br0",
  isDefaultGateway: true,
  ipam: hostLocal(side, v4),
  ...more,
});
const ptp = (side: Side, more: object = {}) => ({
  type: "ptp",
  ipam: hostLocal(side, { ...v4, routes: [route4] }),
  ...more,
});

const kindnet = (side: Side, mappings: object[]) => [
  { type: "ptp", ipMasq: false, mtu: 1500, ipam: hostLocal(side, { routes: [route4], ranges: [[v4]] }) },
  { type: "portmap", ...(mappings.length > 0 && { runtimeConfig: { portMappings: mappings } }) },
];
const threeMappings = [8080, 8443, 5353].map((port) => ({
  hostPort: port,
  containerPort: port,
  protocol: port === 5353 ? "udp" : "tcp",
}));

const master = async (node: Node): Promise<void> => {
  await node.ip("link add uplink type veth peer name far");
  await node.ip("link set uplink up");
  await node.ip("link set far up");
};
const socketOf = ({ node }: Side): string => join(node.dataDir, "dhcp.sock");

/** A DHCP server on the far side, and the side's own daemon; both end with this process, or before. */
async function serve(node: Node, side: Side): Promise<void> {
  const outside = await node.outside();
  await outside.ip("address add 10.60.0.1/16 dev eth0");
  const run = (namespace: Namespace, command: string[]): void => {
    const child = spawn("nsenter", [`--net=${namespace.path}`, "--", ...command], { stdio: "ignore" });
    child.unref(); // this process does not wait for it
    process.on("exit", () => child.kill("SIGKILL"));
  };
  const range = "--dhcp-range=10.60.0.10,10.60.9.250,255.255.0.0,1h";
  const place = ["--interface=eth0", `--dhcp-leasefile=${node.dataDir}/dnsmasq.leases`, "--user=root"];
  run(outside, ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping", range, ...place]);
  const daemon = side.name === "podwire" ? ["dhcp-daemon", "--socketpath"] : ["daemon", "-socketpath"];
  run(node, [join(side.folder, side.name === "podwire" ? "podwire" : "dhcp"), ...daemon, socketOf(side)]);
  await node.must("timeout", "10", "sh", "-c", `until [ -S ${socketOf(side)} ]; do sleep 0.05; done`);
}

const fixed = {
  type: "static",
  addresses: [{ address: "10.60.0.5/16", gateway: "10.60.0.1" }],
  routes: [route4],
};

/** What an earlier plugin would have made. */
const wired = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "br0" }, { name: "veth0" }, { name: "eth0", sandbox: "/run/netns/pod" }],
  ips: [{ interface: 2, address: "10.60.0.9/16" }],
};

export const cases: Case[] = [
  { name: "bridge", plugins: (side) => [bridge(side)], targets: { ADD: 0.5, CHECK: 0.45, DEL: 1.05 } },
  {
    name: "bridge, ipMasq",
    plugins: (side) => [bridge(side, { ipMasq: true })],
    targets: { ADD: 0.2, CHECK: 0.7, DEL: 0.33 },
  },
  { name: "ptp", plugins: (side) => [ptp(side)], targets: { ADD: 0.5, CHECK: 0.45 } },
  { name: "ptp, ipMasq", plugins: (side) => [ptp(side, { ipMasq: true })] },
  {
    name: "ptp, dual stack",
    plugins: (side) => [ptp(side, { ipam: hostLocal(side, { ranges: [[v4], [v6]], routes: [route4, route6] }) })],
    rounds: 7,
    targets: { ADD: 0.005 },
  },
  {
    name: "macvlan",
    prepare: master,
    plugins: (side) => [{ type: "macvlan", master: "uplink", ipam: hostLocal(side, { ...v4, routes: [route4] }) }],
    targets: { ADD: 0.7 },
  },
  {
    name: "macvlan, static",
    prepare: master,
    plugins: () => [{ type: "macvlan", master: "uplink", ipam: fixed }],
    targets: { ADD: 0.7 },
  },
  {
    name: "host-device",
    prepare: master,
    plugins: (side) => [{ type: "host-device", device: "uplink", ipam: hostLocal(side, { ...v4, routes: [route4] }) }],
    targets: { ADD: 0.7 },
  },
  {
    name: "macvlan, dhcp",
    prepare: serve,
    plugins: (side) => [
      { type: "macvlan", master: "uplink", ipam: { type: "dhcp", daemonSocketPath: socketOf(side) } },
    ],
    targets: { ADD: 0.7 },
  },
  { name: "static", plugins: () => [{ type: "static", ipam: fixed }], targets: { ADD: 0.7 } },
  {
    name: "kindnet chain, no mapping",
    plugins: (side) => kindnet(side, []),
    targets: { ADD: 0.4, CHECK: 0.35, DEL: 1.1 },
  },
  {
    name: "kindnet chain, 3 mappings",
    plugins: (side) => kindnet(side, threeMappings),
    targets: { ADD: 0.15, CHECK: 0.33, DEL: 0.5 },
  },
  {
    name: "bandwidth",
    plugins: (side) => [
      ptp(side),
      { type: "bandwidth", ingressRate: 8e6, ingressBurst: 8e5, egressRate: 8e6, egressBurst: 8e5 },
    ],
    timed: "bandwidth",
    targets: { ADD: 0.7 },
  },
  {
    name: "tuning",
    plugins: (side) => [
      ptp(side),
      { type: "tuning", sysctl: { "net.core.somaxconn": "321" }, mac: "02:00:00:00:00:99", mtu: 1400, promisc: true },
    ],
    timed: "tuning",
    targets: { ADD: 0.7 },
  },
  {
    name: "firewall alone",
    plugins: () => [{ type: "firewall", prevResult: wired }],
    targets: { ADD: 0.7, CHECK: 0.7, DEL: 0.7 },
  },
  {
    name: "bridge, firewall",
    plugins: (side) => [bridge(side), { type: "firewall", ingressPolicy: "same-bridge" }],
    targets: { ADD: 0.7 },
  },
  { name: "flannel", plugins: (side) => [flannel(side)], targets: { ADD: 0.7 } },
  { name: "tap", plugins: (side) => [{ type: "tap", ipam: hostLocal(side, v4) }], targets: { ADD: 0.7 } },
  {
    name: "sbr",
    prepare: master,
    plugins: (side) => [
      { type: "macvlan", master: "uplink", ipam: hostLocal(side, { ...v4, routes: [route4] }) },
      { type: "sbr" },
    ],
    timed: "sbr",
    targets: { ADD: 0.7 },
  },
];

/**
 * As `cases`, of links a kernel may lack: they are measured in user-mode Linux, where the ratio alone says something.
 */
export const umlCases: Case[] = [
  {
    name: "ipvlan",
    prepare: master,
    plugins: (side) => [{ type: "ipvlan", master: "uplink", ipam: hostLocal(side, { ...v4, routes: [route4] }) }],
    targets: { ADD: 0.7 },
  },
  {
    name: "vlan",
    prepare: master,
    plugins: (side) => [{ type: "vlan", master: "uplink", vlanId: 100, ipam: hostLocal(side, v4) }],
    targets: { ADD: 0.7 },
  },
  { name: "dummy", plugins: (side) => [{ type: "dummy", ipam: hostLocal(side, v4) }], targets: { ADD: 0.7 } },
  {
    name: "vrf",
    plugins: (side) => [bridge(side), { type: "vrf", vrfname: "blue" }],
    timed: "vrf",
    targets: { ADD: 0.7 },
  },
];

const SUBNET_ENV = ["NETWORK=10.60.0.0/14", "SUBNET=10.60.0.1/16", "MTU=1450", "IPMASQ=true"]
  .map((line) => `FLANNEL_${line}\n`)
  .join("");

/** flannel's plugin with the bridge it delegates to, as k3s has it. */
function flannel(side: Side): Record<string, unknown> {
  const subnetFile = join(side.node.dataDir, "subnet.env");
  if (!existsSync(subnetFile)) writeFileSync(subnetFile, SUBNET_ENV);
  return {
    type: "flannel",
    subnetFile,
    dataDir: join(side.node.dataDir, "flannel"),
    delegate: { hairpinMode: true, forceAddress: true, isDefaultGateway: true },
    ipam: { dataDir: side.node.dataDir },
  };
}

/** The call for one plugin of a chain. */
export function callFor(
  config: Record<string, unknown>,
  version: string,
  container: { id: string; netns: string },
): Call {
  return {
    plugin: String(config.type),
    config: { cniVersion: version, name: "bench", ...config },
    containerId: container.id,
    netns: container.netns,
  };
}

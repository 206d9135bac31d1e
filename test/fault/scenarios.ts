import { bridge, dualStack, flannel, hostDevice, hostLocal, macvlan, ptp, type Config } from "../executable/configs.ts";
import { expect } from "vitest";
import { Node, type Answer, type Call, type IpLink, type Namespace, type Verb } from "../executable/harness.ts";
import type { IpRoute } from "../harness/namespace.ts";
import { type HostState, readTogether, withoutCarrier } from "../harness/state.ts";
import { type SystemCall, systemCalls, trace } from "./strace.ts";

/** A node with a pod that lives through it all, and the call whose verbs are disturbed. */
export interface Stage {
  node: Node;
  call: Omit<Call, "config"> & { config: Config; containerId: string };
  /** attachments GC must keep, besides those a test names */
  valid: { containerID: string; ifname: string }[];
  /** as the scenario has it */
  inPod: boolean;
}

export interface Scenario {
  name: string;
  config(node: Node, containerId?: string): Config;
  /** what the node must have */
  prepare?(node: Node): Promise<void>;
  /** plugins that come before in a chain: what the call's prevResult is made by */
  before?(node: Node): Config;
  /** what it makes is in the pod alone and dies with it: GC and a DEL without CNI_NETNS leave it */
  inPod?: boolean;
  /** called when no more is done on a node on which nothing was wrong */
  end?(stage: Stage): Promise<void>;
}

const ports = [
  { hostPort: 8080, containerPort: 80, protocol: "tcp" },
  { hostPort: 5353, containerPort: 53, protocol: "udp", hostIP: "192.0.2.1" },
];
const limits = { ingressRate: 8e6, ingressBurst: 8e5, egressRate: 4e6, egressBurst: 4e5 };
const tuned = {
  sysctl: { "net.core.somaxconn": "321", "net.ipv4.conf.IFNAME.arp_filter": "1" },
  mac: "02:00:00:00:00:99",
  mtu: 1400,
  promisc: true,
  allmulti: true,
  txQLen: 7,
};
const everything = { isDefaultGateway: true, ipMasq: true, macspoofchk: true, hairpinMode: true };
const fullBridge = (node: Node): Config =>
  bridge(node, { ...everything, ipam: dualStack(node, { routes: [{ dst: "10.50.0.0/16" }] }) });

export const scenarios: Record<
  | "bridge"
  | "iptables"
  | "ptp"
  | "linkLocal"
  | "macvlan"
  | "static"
  | "hostDevice"
  | "tap"
  | "hostLocal"
  | "portmap"
  | "firewall"
  | "flannel"
  | "sbr"
  | "bandwidth"
  | "tuning",
  Scenario
> = {
  bridge: { name: "bridge, dual stack, masquerade, spoof check", config: fullBridge },
  iptables: {
    name: "bridge, iptables",
    config: (node) =>
      bridge(node, { isDefaultGateway: true, ipMasq: true, ipMasqBackend: "iptables", ipam: hostLocal(node) }),
  },
  ptp: { name: "ptp, dual stack, masquerade", config: (node) => ptp(node, { ipMasq: true, ipam: dualStack(node) }) },
  linkLocal: {
    name: "ptp, link-local",
    config: (node) => ptp(node, { gatewayMode: "link-local", ipam: dualStack(node) }),
  },
  macvlan: {
    name: "macvlan, dual stack",
    prepare: async (node) => void (await node.outside()),
    config: (node) => macvlan(node, { ipam: dualStack(node, { routes: [{ dst: "0.0.0.0/0" }] }) }),
  },
  static: {
    name: "macvlan with static addresses",
    prepare: async (node) => void (await node.outside()),
    config: (node, containerId) =>
      macvlan(node, {
        ipam: {
          type: "static",
          dataDir: node.dataDir, // of its record
          addresses: [containerId === "lives" ? 8 : 9].flatMap((host) => [
            { address: `10.9.0.${host}/24`, gateway: "10.9.0.1" },
            { address: `fd00:9::${host}/64` },
          ]),
          routes: [{ dst: "0.0.0.0/0" }],
        },
      }),
  },
  hostDevice: {
    name: "host-device, dual stack",
    async prepare(node) {
      for (const name of ["lan0", "lan1"]) await node.ip(`link add ${name} type veth peer name far-${name}`);
    },
    // the pod that lives has a device of its own
    config: (node, containerId) =>
      hostDevice(node, { device: containerId === "lives" ? "lan1" : "lan0", ipam: dualStack(node) }),
  },
  tap: {
    name: "tap, dual stack",
    config: (node) => ({
      cniVersion: "1.1.0",
      name: "net",
      type: "tap",
      owner: 0,
      mtu: 1400,
      ipam: dualStack(node, { routes: [{ dst: "0.0.0.0/0" }] }),
    }),
  },
  hostLocal: {
    name: "host-local by itself",
    config: (node) => ({ cniVersion: "1.1.0", name: "net", type: "host-local", ipam: dualStack(node) }),
  },
  portmap: {
    name: "portmap after bridge",
    before: (node) => bridge(node, { isDefaultGateway: true, ipam: hostLocal(node) }),
    config: () => ({ cniVersion: "1.1.0", name: "net", type: "portmap", runtimeConfig: { portMappings: ports } }),
  },
  firewall: {
    name: "firewall after bridge, isolated",
    before: (node) => bridge(node, { isDefaultGateway: true, ipam: dualStack(node) }),
    config: () => ({ cniVersion: "1.1.0", name: "net", type: "firewall", ingressPolicy: "isolated" }),
  },
  flannel: { name: "flannel with bridge, dual stack", config: (node) => flannel(node) },
  sbr: {
    name: "sbr after macvlan",
    inPod: true,
    prepare: async (node) => void (await node.outside()),
    before: (node) => macvlan(node, { ipam: dualStack(node, { routes: [{ dst: "10.77.0.0/16", gw: "10.9.0.7" }] }) }),
    config: () => ({ cniVersion: "1.1.0", name: "net", type: "sbr" }),
  },
  bandwidth: {
    name: "bandwidth after bridge",
    before: (node) => bridge(node, { isDefaultGateway: true, ipam: hostLocal(node) }),
    config: () => ({ cniVersion: "1.1.0", name: "net", type: "bandwidth", ...limits }),
  },
  tuning: {
    name: "tuning after bridge",
    before: (node) => bridge(node, { isDefaultGateway: true, ipam: hostLocal(node) }),
    config: (node) => ({
      cniVersion: "1.1.0",
      name: "net",
      type: "tuning",
      dataDir: `${node.dataDir}/tuning`,
      ...tuned,
    }),
  },
};

/** Puts a scenario on a node of its own, with all that is shared there already and one pod that lives. */
export async function setUp(scenario: Scenario, { live = true } = {}): Promise<Stage> {
  const node = await Node.create();
  await scenario.prepare?.(node);
  const pod = await node.pod();
  const valid: Stage["valid"] = [];
  if (live) {
    await attachAll(scenario, node, { containerId: "lives", netns: await node.pod() });
    valid.push({ containerID: "lives", ifname: "eth0" });
  }
  const call = {
    plugin: scenario.config(node).type,
    config: scenario.config(node),
    containerId: "disturbed",
    netns: pod,
  };
  const inPod = scenario.inPod === true;
  if (!scenario.before) return { node, call, valid, inPod };
  const config = scenario.before(node);
  const { result } = await node.succeed("ADD", { plugin: config.type, config, containerId: "disturbed", netns: pod });
  return { node, call: { ...call, config: { ...call.config, prevResult: result } }, valid, inPod };
}

async function attachAll(
  { before, config }: Scenario,
  node: Node,
  to: { containerId: string; netns: Namespace },
): Promise<void> {
  const first = before?.(node);
  const prevResult = first && (await node.succeed("ADD", { plugin: first.type, config: first, ...to })).result;
  const own = config(node, to.containerId);
  // a port of the host belongs to one pod
  const elsewhere =
    own.type === "portmap"
      ? { runtimeConfig: { portMappings: [{ hostPort: 9090, containerPort: 90, protocol: "tcp" }] } }
      : {};
  await node.succeed("ADD", {
    plugin: own.type,
    config: { ...own, ...elsewhere, ...(prevResult && { prevResult }) },
    ...to,
  });
}

/** Everything a call may change: the host's network, the pod, leases, and what podwire knows beside them. */
export type State = HostState & { leases: Record<string, string>; pod: unknown };

const RECORDS = /^(\.podwire\/net\/[^.]|flannel\/[^.]|tuning\/|cni\/dhcp\.sock\.leases\/[^.])/;

export async function stateOf({ node, call }: Stage): Promise<State> {
  const [state, pod] = await Promise.all([node.snapshot(), podState(call.netns as Namespace)]);
  const all = node.leases({ all: true });
  const records = Object.entries(all).filter(([path]) => RECORDS.test(path));
  return { ...state, leases: { ...state.leases, ...Object.fromEntries(records) }, pod };
}

const POD_STATE = [
  "ip -j -d link show",
  "ip -4 rule show",
  "ip -6 rule show",
  "ip -j -4 route show table all",
  "ip -j -6 route show table all",
  "cat /proc/sys/net/core/somaxconn",
  "cat /proc/sys/net/ipv4/conf/eth0/arp_filter || true",
];

/** Its links as they are set, rules, routes, and the sysctls that `tuned` has. */
async function podState(pod: Namespace): Promise<unknown> {
  const [links, rules4, rules6, routes4, routes6, ...sysctls] = await readTogether(pod, POD_STATE);
  const parse = <T>(text: string | undefined): T[] => JSON.parse(text || "[]") as T[];
  return {
    links: parse<IpLink>(links).map(({ ifname, address, mtu, txqlen, flags, master }) => {
      return { ifname, address, mtu, txqlen, flags: withoutCarrier(flags), master };
    }),
    // the first VRF of a namespace makes one that stays
    rules: [rules4, rules6].map((text) => text!.replaceAll(/^.*l3mdev-table.*\n?/gm, "")),
    routes: [...parse<IpRoute>(routes4), ...parse<IpRoute>(routes6)]
      .map((route) => JSON.stringify({ ...route, flags: [] }))
      .filter((route) => !/"(fe80|ff00|multicast)/.test(route))
      .toSorted(),
    sysctls,
  };
}

export function succeed(what: string, answer: Answer): Answer {
  if (answer.exitCode !== 0) throw new Error(`${what}: exit ${answer.exitCode}: ${answer.stdout} ${answer.stderr}`);
  return answer;
}

export const add = async ({ node, call }: Stage): Promise<Answer> => node.succeed("ADD", call);
export const del = async ({ node, call }: Stage, more: object = {}): Promise<Answer> =>
  node.succeed("DEL", { ...call, ...more });

/** The call of a GC for which all is valid but the disturbed attachment. */
function gcCall({ call, valid }: Stage): Call {
  return { plugin: call.plugin, config: { ...call.config, prevResult: undefined, "cni.dev/valid-attachments": valid } };
}

export const collect = async (stage: Stage): Promise<Answer> => stage.node.succeed("GC", gcCall(stage));

/** What a verb is called with. */
export const callOf = (stage: Stage, verb: Verb): Call => (verb === "GC" ? gcCall(stage) : stage.call);

/** A new life after a fault: ADD, CHECK and DEL work and leave nothing. */
export async function liveAgain(stage: Stage, before: State): Promise<void> {
  const { result } = await add(stage);
  succeed(
    "CHECK",
    await stage.node.podwire("CHECK", { ...stage.call, config: { ...stage.call.config, prevResult: result } }),
  );
  await del(stage);
  expect(await stateOf(stage)).toEqual(before);
}

/** The system calls of an undisturbed verb. */
export async function record(scenario: Scenario, verb: Verb, options?: { live: boolean }): Promise<SystemCall[]> {
  const stage = await setUp(scenario, options);
  if (verb !== "ADD") await add(stage);
  const run = await trace(stage.node, verb, callOf(stage, verb));
  succeed(verb, run);
  await stage.node.remove();
  return systemCalls(run.lines);
}

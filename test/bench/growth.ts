import { basename } from "node:path";
import type { Node } from "../harness/node.ts";
import { bothSides, enter, measure, type Side } from "./sides.ts";
import { run } from "./process.ts";
import { median, type Row } from "./table.ts";

// What a verb costs must not depend on how much else the node has: the processor's time, which does not depend on who
// else is at work.

const few = 10;
const many = Number(process.env.BENCH_MANY ?? 5000);
const target = 1.3;
const rounds = Number(process.env.BENCH_ROUNDS ?? 20);
const plugins = ["bridge", "ptp"];
const verbs = ["ADD", "CHECK", "DEL", "STATUS"] as const;

type Port = [hostPort: number, protocol: string];

const config = (side: Side, plugin: string, ports: readonly Port[]) => ({
  cniVersion: "1.1.0",
  name: `growth-${plugin}`,
  type: plugin,
  isGateway: true,
  ipMasq: true,
  ipam: {
    type: "host-local",
    dataDir: side.node.dataDir,
    ranges:
      plugin === "ptp" // what is on the bridge has addresses of its own: the pods beside are of ptp
        ? [[{ subnet: "10.64.0.0/16" }], [{ subnet: "fd00:64::/64" }]]
        : [[{ subnet: "10.65.0.0/16" }], [{ subnet: "fd00:65::/64" }]],
  },
  capabilities: { portMappings: true },
  runtimeConfig: {
    portMappings: ports.map(([hostPort, protocol]) => ({ hostPort, containerPort: hostPort, protocol })),
  },
});

/** Where the second byte of an address goes when the last one is over. */
const bytes = (at: number): string => `${at >> 8}.${at & 255}`;
const each = (count: number, line: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => line(at)).join("\n");

async function batch(node: Node, lines: string): Promise<void> {
  const { exitCode, stderr } = await node.run("ip", ["-batch", "-"], { input: lines, timeoutMs: 300_000 });
  if (exitCode !== 0) throw new Error(`ip -batch: ${stderr}`);
}

/** Pods with their leases, records and masquerading, and the ports that are asked for. */
async function addPods(side: Side, count: number, portsOf: (at: number) => Port[]): Promise<void> {
  const { path } = await side.node.pod();
  enter(side);
  for (let at = 0; at < count; at++) {
    const call = { plugin: "ptp", config: config(side, "ptp", portsOf(at)), netns: path };
    measure(side, { verb: "ADD", call: { ...call, containerId: `pod-${at}`, ifname: `eth${at}` } });
  }
}

/** What a node can have much of, and how it comes to have so much. */
const much: Record<string, (side: Side, count: number) => Promise<void>> = {
  pods: async (side, count) => addPods(side, count, () => []),
  "pods with host ports": async (side, count) =>
    addPods(side, count, (at) => [[20_000 + at, at % 2 === 0 ? "tcp" : "udp"]]),
  async routes({ node }, count) {
    await node.outside();
    await batch(
      node,
      each(count, (at) => `route add 10.128.${bytes(at)}/32 via 192.0.2.2`),
    );
    await batch(
      node,
      each(count, (at) => `route add 2001:db8:1::${at.toString(16)}/128 via 2001:db8::2`),
    );
  },
  async flows({ node }, count) {
    await node.must("nft", "add table ip seen; add chain ip seen in { type filter hook input priority 0; }");
    await node.must("nft", "add rule ip seen in ct state new counter");
    const script = `
      const socket = require("node:dgram").createSocket("udp4");
      let left = ${count};
      for (let at = 0; at < ${count}; at++) socket.send("x", 10000 + at, "127.0.0.1", () => --left || socket.close());`;
    await node.must(process.execPath, "-e", script);
  },
  async services({ node }, count) {
    const chains = each(count, (at) => `:KUBE-SVC-${at} - [0:0]\n:KUBE-SEP-${at} - [0:0]`);
    const rules = each(count, (at) =>
      [
        `-A KUBE-SERVICES -d 10.96.${bytes(at)}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-${at}`,
        `-A KUBE-SVC-${at} -m comment --comment "default/service-${at}" -j KUBE-SEP-${at}`,
        `-A KUBE-SEP-${at} -p tcp -m tcp -j DNAT --to-destination 10.244.${bytes(at)}:8080`,
      ].join("\n"),
    );
    const input = `*nat\n:KUBE-SERVICES - [0:0]\n${chains}\n-A PREROUTING -j KUBE-SERVICES\n${rules}\nCOMMIT\n`;
    const { exitCode, stderr } = await node.run("iptables-restore", ["--noflush"], { input });
    if (exitCode !== 0) throw new Error(`iptables-restore: ${stderr}`);
  },
  /** with an address each */
  async links({ node }, count) {
    await batch(
      node,
      each(count / 2, (at) => `link add a${at} type veth peer name b${at}`),
    );
    await batch(
      node,
      each(count / 2, (at) => `address add 172.16.${bytes(at)}/32 dev a${at}`),
    );
  },
};

/** What is asked for beside it: among pods of the common sort, one more of them. */
const portsBeside = (what: string): Port[] =>
  what === "pods"
    ? []
    : [
        [8080, "tcp"],
        [5353, "udp"],
      ];

/** A pod of a plugin on a node, and what its verbs took. */
interface Wired {
  side: Side;
  ports: Port[];
  netns: string;
  count: number;
  times: Record<string, number[]>;
}

function cycle({ side, ports, netns, times }: Wired, plugin: string, round: number): void {
  enter(side);
  let prevResult: unknown;
  for (const verb of verbs) {
    const call = {
      plugin,
      config: { ...config(side, plugin, ports), ...(prevResult !== undefined && { prevResult }) },
      containerId: `growth-${round}`,
      netns,
    };
    const { processorMs, stdout } = measure(side, { verb, call });
    if (verb === "ADD") prevResult = JSON.parse(stdout);
    if (round >= 0) (times[`${plugin} ${verb}`] ??= []).push(processorMs);
  }
}

/** The verbs in which every program makes the kernel do the same: neither can do with less than what that takes. */
const bareVerbs: readonly string[] = ["ADD", "DEL"];
/** That, for a pod, by iproute2: a veth pair with addresses and routes, up; deleted. */
const bareLines = (pod: string): Record<string, { host: string[]; pod: string[] }> => ({
  ADD: {
    host: [
      `link add host-end type veth peer name pod-end netns ${pod}`,
      "address add 10.64.0.1/32 dev host-end",
      "address add fd00:64::1/128 dev host-end nodad",
      "link set host-end up",
      "route add 10.64.250.1/32 dev host-end",
      "route add fd00:64::fa01/128 dev host-end",
    ],
    pod: ["address add 10.64.250.1/32 dev pod-end", "address add fd00:64::fa01/128 dev pod-end", "link set pod-end up"],
  },
  DEL: { host: ["link delete host-end"], pod: [] },
});

function bare({ side, netns, times }: Wired, round: number): void {
  enter(side);
  const pod = basename(netns);
  for (const verb of bareVerbs) {
    const lines = bareLines(pod)[verb]!;
    const ip = (args: string[], input: string[]): number =>
      run(`ip, ${verb}`, { cmd: ["/usr/sbin/ip", ...args, "-batch", "-"], stdin: input.join("\n") }).processorMs;
    const processorMs = ip([], lines.host) + ip(["-n", pod], lines.pod);
    if (round >= 0) (times[`ip ${verb}`] ??= []).push(processorMs);
  }
}

async function measureMuch(what: string): Promise<Row[]> {
  const wired: Wired[] = [];
  for (const count of [few, many]) {
    const [side, unused] = (await bothSides()) as [Side, Side];
    await unused.node.remove();
    await much[what]!(side, count);
    wired.push({ side, ports: portsBeside(what), netns: (await side.node.pod()).path, count, times: {} });
  }
  for (let round = -2; round < rounds; round++) {
    for (const plugin of plugins) {
      for (const each of round % 2 === 0 ? wired : wired.toReversed()) cycle(each, plugin, round);
    }
    for (const each of wired) bare(each, round);
  }
  for (const { side } of wired) await side.node.remove();
  const [little, lots] = wired as [Wired, Wired];
  const timesOf = (name: string): number[] => [little, lots].map(({ times }) => median(times[name]!));
  const row = (name: string): Row => {
    const [few, many] = timesOf(name) as [number, number];
    const [program, verb] = name.split(" ") as [string, string];
    return {
      ...described(program, verb, what),
      podwire: many,
      against: { what: `beside ${little.count}`, value: few },
    };
  };
  const wanted = verbs.flatMap((verb) =>
    plugins.flatMap((plugin): Row[] => {
      const all = row(`${plugin} ${verb}`);
      if (!bareVerbs.includes(verb)) return [{ ...all, target }];
      const [fewBare, manyBare] = timesOf(`ip ${verb}`) as [number, number];
      const own = { ...all, what: `${all.what}, without what ip's grew`, podwire: all.podwire - (manyBare - fewBare) };
      return [all, { ...own, target }];
    }),
  );
  return [...wanted, ...bareVerbs.map((verb) => row(`ip ${verb}`))];
}

const described = (program: string, verb: string, what: string): Pick<Row, "what" | "runs"> => ({
  what: `${program}: ${verb} beside ${many.toLocaleString("en")} ${what}, processor time`,
  runs: rounds,
});

/** Each verb but GC on a node with few and with many pods, routes, flows, services and links. */
export async function growth(only?: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (const what of Object.keys(much).filter((name) => only === undefined || only === name)) {
    rows.push(...(await measureMuch(what)));
  }
  return rows;
}

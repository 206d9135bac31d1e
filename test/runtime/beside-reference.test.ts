import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { invoke } from "../harness/invoke.ts";
import {
  executable,
  Node,
  reference,
  runList,
  temporaryFolder,
  type Answer,
  type Call,
  type CniResult,
  type Namespace,
  type NetworkList,
  type Outside,
  type Verb,
} from "./harness.ts";

const names = ["bridge", "ptp", "host-local", "portmap", "firewall", "tuning", "bandwidth"];

/** A node's folder of plugins, which are podwire's or the reference's: whoever was put there last. */
class Plugins {
  readonly folder = temporaryFolder("opt-cni-bin");
  owner: "podwire" | "reference" = "reference";

  async podwire(): Promise<void> {
    this.owner = "podwire";
    await execa(executable, ["install", "--bin-dir", this.folder]);
  }

  reference(): void {
    this.owner = "reference";
    for (const name of names) {
      rmSync(join(this.folder, name), { force: true });
      copyFileSync(join(reference.folder, name), join(this.folder, name));
    }
  }
}

interface Pod {
  containerId: string;
  maker: Plugins["owner"];
  netns: Namespace;
  hostPort: number;
  capabilities: Record<string, unknown>;
  result: CniResult;
  ips: string[];
}

/** What a runtime does on one node with one network, whosever the plugins are. */
class Runtime {
  readonly pods = new Set<Pod>();
  #count = 0;

  constructor(
    readonly node: Node,
    readonly outside: Outside,
    readonly plugins: Plugins,
    readonly list: NetworkList,
  ) {}

  async #run(verb: Verb, call: Call): Promise<Answer> {
    return invoke(this.node, this.plugins.folder, verb, call);
  }

  async add({ hostPort = 8001 + this.#count } = {}): Promise<Pod> {
    this.#count += 1;
    const netns = await this.node.pod({ up: true });
    const pod = {
      containerId: `pod-${this.#count}-of-${this.list.name}`,
      netns,
      hostPort,
      capabilities: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] },
    };
    const { exitCode, stdout, stderr, result } = await runList(
      async (...call) => this.#run(...call),
      "ADD",
      this.list,
      pod,
    );
    expect([exitCode, exitCode === 0 || stdout, stderr]).toEqual([0, true, ""]);
    await netns.listen(80, { name: pod.containerId });
    const added = {
      ...pod,
      maker: this.plugins.owner,
      result: result!,
      ips: result!.ips!.map(({ address }) => address.replace(/\/.*/, "")),
    };
    this.pods.add(added);
    return added;
  }

  /**
   * The reference looks for port mappings and a firewall's rules in tables of its own, and podwire's are there only
   * with its iptables backend; Debian's v1.1.1 finds not even its own of a dual-stack pod.
   */
  async check(pod: Pod): Promise<void> {
    const findsRules =
      this.plugins.owner === "podwire" ||
      (reference.newest && (pod.maker === "reference" || this.list.plugins[1]?.backend === "iptables"));
    const isAsked = ({ type }: { type: string }): boolean => findsRules || !/portmap|firewall/.test(type);
    const list = { ...this.list, plugins: this.list.plugins.filter(isAsked) };
    const { exitCode, stdout } = await runList(async (...call) => this.#run(...call), "CHECK", list, pod);
    expect([pod.containerId, exitCode, stdout]).toEqual([pod.containerId, 0, ""]);
  }

  async delete(pod: Pod): Promise<void> {
    const { exitCode, stdout } = await runList(async (...call) => this.#run(...call), "DEL", this.list, pod);
    expect([pod.containerId, exitCode, stdout]).toEqual([pod.containerId, 0, ""]);
    this.pods.delete(pod);
  }

  /** GC, for what the reference knows nothing of: a policy of podwire's is an element named by the pod's link. */
  async collect(): Promise<void> {
    for (const plugin of this.list.plugins) {
      const config = { ...plugin, name: this.list.name, cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
      expect(await this.#run("GC", { plugin: plugin.type, config })).toMatchObject({ exitCode: 0 });
    }
  }

  /**
   * Every pod passes CHECK, holds the leases of its addresses, reaches all others and the outside, and is reached at
   * its host port.
   */
  async works(): Promise<void> {
    const pods = [...this.pods];
    for (const pod of pods) await this.check(pod);
    const leases = pods.flatMap(({ containerId, ips }) =>
      ips.map((ip) => [`${this.list.name}/${ip}`, `${containerId}\r\neth0`]),
    );
    expect(this.node.leases()).toEqual(Object.fromEntries(leases));
    const pings = pods.flatMap(({ netns, containerId }) =>
      [...pods.flatMap(({ ips }) => ips), this.outside.address4].map(async (ip) => [
        containerId,
        ip,
        await netns.ping(ip),
      ]),
    );
    expect((await Promise.all(pings)).filter(([, , answered]) => !answered)).toEqual([]);
    for (const { hostPort, containerId, maker } of pods) {
      // the reference's firewall accepts no new connection, so where FORWARD drops its pods have no host ports
      if (maker === "reference" && this.list.plugins.some(({ type }) => type === "firewall")) continue;
      expect(await this.outside.connect(this.outside.node4, hostPort)).toMatchObject({
        server: containerId,
        from: this.outside.address4,
      });
    }
  }

  /** What the node still holds of a pod: its addresses and id in links, routes, leases and the ruleset. */
  async traces({ containerId, ips }: Pod): Promise<string[]> {
    const { links, routes, ruleset, leases } = await this.node.snapshot();
    const words = [containerId, ...ips];
    const found = Object.entries({ links, routes, ruleset, leases }).filter(([, part]) =>
      words.some((word) => new RegExp(`${word}(?![0-9a-f:.])`).test(JSON.stringify(part))),
    );
    return found.map(([part]) => part);
  }
}

/**
 * Backends as the configuration asks for them; without a word, the reference takes iptables and podwire nftables.
 * Debian's v1.1.1 knows iptables alone, and its DEL fails without the chain it would have made.
 */
const kinds: [string, string | undefined, string?][] = reference.newest
  ? [
      ["bridge", undefined, "nerdctl's chain and bandwidth"],
      ["bridge", "iptables", "nerdctl's chain and bandwidth"],
      ["bridge", undefined],
      ["bridge", "iptables"],
      ["bridge", "nftables"],
      ["ptp", undefined],
      ["ptp", "nftables"],
    ]
  : [
      ["bridge", "iptables"],
      ["ptp", "iptables"],
    ];

const chained = (backend: string | undefined): NetworkList["plugins"] => [
  { type: "firewall", ingressPolicy: "same-bridge", ...(backend && { backend }) },
  { type: "tuning", sysctl: { "net.core.somaxconn": "500" }, mtu: 1400 },
  { type: "bandwidth", ingressRate: 8e6, ingressBurst: 8e5, egressRate: 1.6e7, egressBurst: 1.6e6 },
];

async function create(plugin: string, backend: string | undefined, chain: string | undefined): Promise<Runtime> {
  const node = await Node.create();
  // as Docker does
  if (chain) for (const tool of ["iptables", "ip6tables"]) await node.must(tool, "-P", "FORWARD", "DROP");
  const outside = await node.outside();
  const main = plugin === "bridge" ? { bridge: "br0", isDefaultGateway: true, hairpinMode: true } : {};
  // few addresses, so that those of pods that are gone come round again
  const ranges = [[{ subnet: "10.70.0.0/29" }], [{ subnet: "fd00:70::/125", rangeEnd: "fd00:70::6" }]];
  const ipam = {
    type: "host-local",
    dataDir: node.dataDir,
    ranges,
    ...(plugin === "ptp" && { routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] }),
  };
  const [masquerading, mapping] = backend === undefined ? [{}, {}] : [{ ipMasqBackend: backend }, { backend }];
  const plugins = [
    { type: plugin, ...main, ipMasq: true, ...masquerading, ipam },
    { type: "portmap", ...mapping, capabilities: { portMappings: true } },
    ...(chain ? chained(backend) : []),
  ];
  return new Runtime(node, outside, new Plugins(), { cniVersion: "1.0.0", name: "shared", plugins });
}

describe.each(kinds)("a node with %s and backend %s, %s", (plugin, backend, chain) => {
  test("goes over to podwire, and back, and over again, with its pods running", async () => {
    const runtime = await create(plugin, backend, chain);
    const { plugins } = runtime;
    plugins.reference();
    const [first, second] = [await runtime.add(), await runtime.add()];

    await plugins.podwire();
    await runtime.works();
    const [third, fourth] = [await runtime.add(), await runtime.add()];
    await runtime.works();
    await runtime.delete(first);
    expect(await runtime.traces(first)).toEqual([]);

    plugins.reference();
    const fifth = await runtime.add();
    await runtime.works();
    await runtime.delete(third);
    await runtime.delete(second);
    expect(await runtime.traces(second)).toEqual([]);

    await plugins.podwire();
    const [sixth, seventh, eighth] = [
      await runtime.add(),
      await runtime.add(),
      await runtime.add({ hostPort: third.hostPort }),
    ];
    // what the reference left of podwire's pod, a mapping of a port to an address that has come round, is in nobody's
    // way
    expect(eighth.ips).toEqual(third.ips);
    await runtime.works();
    for (const pod of [fourth, fifth, sixth, seventh, eighth]) {
      await runtime.delete(pod);
      expect(await runtime.traces(pod)).toEqual([]);
    }
    await runtime.collect();
    expect(await runtime.traces(third)).toEqual([]);
    expect(runtime.node.leases()).toEqual({});
    expect((await runtime.node.links()).map(({ ifname }) => ifname)).toEqual([
      "lo",
      "uplink",
      ...(plugin === "bridge" ? ["br0"] : []),
    ]);
  });
});

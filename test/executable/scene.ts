import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { remember } from "../harness/cached.ts";
import { SUBNET_ENV } from "./configs.ts";
import {
  type CniResult,
  executable,
  type Namespace,
  type NetworkList,
  Node,
  type Outcome,
  podwireFolder,
  runList,
  temporaryFolder,
} from "./harness.ts";

/** What doctor says in JSON of one thing it looked at. */
export interface Finding {
  state: "ok" | "skip" | "warn" | "FAULT";
  layer: string;
  what: string;
  expected?: string;
  is?: string;
  since?: string;
  mend?: string;
}

export interface Wired {
  name: string;
  containerId: string;
  pod: Namespace;
  capabilities: Record<string, unknown>;
  result: CniResult;
  hostVeth: string;
  ip4: string;
  ip6: string;
}

interface Made {
  pods?: number;
  capabilities?: Record<string, unknown>;
  by?: "podwire" | "reference";
  /** the runtime keeps no results */
  forgetful?: boolean;
  /** lines of a shell on the node, before there are pods */
  prepare?: string[];
  /** as `prepare`, on the machine outside */
  outside?: string[];
}

/** A list whose leases, and what flannel keeps, are in the node's own folder. */
const inFolder = ({ dataDir }: Node, { plugins, ...list }: NetworkList): NetworkList => ({
  ...list,
  plugins: plugins.map((plugin) => {
    if (plugin.type === "flannel") {
      writeFileSync(join(dataDir, "subnet.env"), SUBNET_ENV);
      return { ...plugin, subnetFile: `${dataDir}/subnet.env`, dataDir: `${dataDir}/flannel`, ipam: { dataDir } };
    }
    return (plugin.ipam as { type?: string } | undefined)?.type === "host-local"
      ? { ...plugin, ipam: { ...(plugin.ipam as object), dataDir } }
      : plugin;
  }),
});

/** A node with an uplink and pods, wired by a list as a runtime does it, and doctor to look at it. */
export class Scene {
  readonly results = temporaryFolder("results");
  readonly confDir = temporaryFolder("conf");
  readonly pods: Wired[] = [];

  private constructor(
    readonly node: Node,
    readonly list: NetworkList,
  ) {}

  static async make(
    list: NetworkList,
    { pods = 2, prepare = [], outside: more = [], ...made }: Made = {},
  ): Promise<Scene> {
    const node = await Node.create();
    const outside = await node.outside();
    await outside.ip("address add 10.31.0.1/24 dev eth0"); // the gateway of pods that are on the uplink themselves
    await node.ip("route add default via 192.0.2.2");
    await node.ip("route add default via 2001:db8::2");
    for (const line of more) await outside.must("sh", "-ec", line);
    for (const line of prepare) await node.must("sh", "-ec", line);
    const scene = new Scene(node, inFolder(node, list));
    writeFileSync(join(scene.confDir, `10-${list.name}.conflist`), JSON.stringify(scene.list));
    for (let at = 1; at <= pods; at++) await scene.add(`web-${at}`, at === 1 ? made : { ...made, capabilities: {} });
    return scene;
  }

  async add(name: string, { capabilities = {}, by = "podwire", forgetful = false }: Made = {}): Promise<Wired> {
    const pod = await this.node.pod({ up: true });
    const containerId = `${name}-id`;
    const run = by === "podwire" ? this.node.podwire.bind(this.node) : this.node.reference.bind(this.node);
    const answer = await runList(run, "ADD", this.list, { containerId, netns: pod, capabilities });
    if (answer.exitCode !== 0) throw new Error(`ADD: ${answer.stdout}`);
    const result = answer.result!;
    const args = { IgnoreUnknown: "1", K8S_POD_NAMESPACE: "default", K8S_POD_NAME: name };
    if (!forgetful) remember(this.results, this.list, { containerId, netns: pod.path, capabilities, args, result });
    const address = (mark: string): string =>
      (result.ips ?? []).find((ip) => ip.address.includes(mark))?.address.replace(/\/.*/, "") ?? "";
    const hostVeth =
      (result.interfaces ?? []).find((each) => !each.sandbox && each.name.startsWith("veth"))?.name ?? "";
    const wired = { name, containerId, pod, capabilities, result, hostVeth, ip4: address("."), ip6: address(":") };
    this.pods.push(wired);
    return wired;
  }

  get first(): Wired {
    return this.pods[0]!;
  }

  /** What CHECK says of the first pod, "" where it is content. */
  async check(): Promise<string> {
    if (/^0\.[123]\./.test(this.list.cniVersion)) return ""; // which have no CHECK
    const { containerId, pod, capabilities, result } = this.first;
    const to = { containerId, netns: pod, capabilities, result };
    const answer = await runList(this.node.podwire.bind(this.node), "CHECK", this.list, to);
    return answer.exitCode === 0 ? "" : answer.stdout;
  }

  async run(...args: string[]): Promise<Outcome> {
    return this.runBeside("/usr/sbin:/usr/bin:/sbin:/bin", "doctor", ...args);
  }

  /** Runs a command that looks at this scene, with programs in the folders of a PATH. */
  async runBeside(path: string, command: string, ...args: string[]): Promise<Outcome> {
    return this.node.run("env", ["-i", `PATH=${path}`, ...this.lineOf(command), ...args]);
  }

  /** As `runBeside`, by another user: `how` is the program that makes it one. */
  async runAs(how: string[], command: string): Promise<Outcome> {
    return this.node.run("env", ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", ...how, ...this.lineOf(command)]);
  }

  /** A command that looks at this scene, as it is typed. */
  lineOf(command: string): string[] {
    const places = ["--data-dir", this.node.dataDir, "--conf-dir", this.confDir, "--results-dir", this.results];
    return [executable, command, ...places, ...(command === "doctor" ? ["--bin-dir", podwireFolder()] : [])];
  }

  /** What is said of the node, with what is said of its pods. */
  async examineNode(): Promise<{
    exitCode: number;
    node: Finding[];
    pods: { containerId: string; findings: Finding[] }[];
  }> {
    const { exitCode, stdout, stderr } = await this.run("--json");
    if (stdout === "") throw new Error(stderr);
    const { findings, pods } = JSON.parse(stdout) as {
      findings: Finding[];
      pods: { containerId: string; findings: Finding[] }[];
    };
    return { exitCode, node: findings, pods };
  }

  /** What is said of one pod. */
  async examinePod(word = "web-1"): Promise<{ exitCode: number; findings: Finding[] }> {
    const { exitCode, stdout, stderr } = await this.run("--json", word);
    if (stdout === "") throw new Error(stderr);
    const { pods } = JSON.parse(stdout) as { pods: { findings: Finding[] }[] };
    return { exitCode, findings: pods.flatMap(({ findings }) => findings) };
  }
}

/** What is wrong among findings, as `layer: what`. */
export const wrongs = (findings: readonly Finding[]): string[] =>
  findings.filter(({ state }) => state === "FAULT" || state === "warn").map(({ layer, what }) => `${layer}: ${what}`);

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { wireCached } from "../harness/cached.ts";
import { example } from "./examples.ts";
import {
  type Call,
  executable,
  type Namespace,
  type NetworkList,
  Node,
  type Outcome,
  temporaryFolder,
  type Verb,
} from "./harness.ts";

const map = async (node: Node, folder: string, ...more: string[]): Promise<Outcome> =>
  node.run(executable, ["map", "--results-dir", folder, "--data-dir", node.dataDir, ...more], {
    env: { TERM: "dumb" },
  });

const network = (name: string, plugin: Record<string, unknown> & { type: string }, chained: object[] = []) =>
  ({ cniVersion: "1.1.0", name, plugins: [plugin, ...chained] }) as NetworkList;
const named = (name: string): string => `IgnoreUnknown=1;K8S_POD_NAMESPACE=${name.replace("/", ";K8S_POD_NAME=")}`;

/** A node with routed pods, a bridge, a macvlan, a pod of the reference, an uplink and other nodes. */
async function mixedNode(): Promise<{ node: Node; folder: string; pods: Namespace[] }> {
  const node = await Node.create();
  await node.outside();
  const folder = temporaryFolder("results");
  await node.ip("route add default via 192.0.2.254");
  await node.ip("route add 10.244.1.0/24 via 192.0.2.11");
  await node.ip("route add 10.244.2.0/24 via 192.0.2.12");
  const ipam = (...subnets: string[]) => ({
    type: "host-local",
    dataDir: node.dataDir,
    ranges: subnets.map((subnet) => [{ subnet }]),
  });
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  const kindnet = network("kindnet", { type: "ptp", ipMasq: true, ipam: ipam("10.244.0.0/24", "fd00:244::/64") }, [
    portmap,
  ]);
  const bridged = network("pods", { type: "bridge", bridge: "cni0", isGateway: true, ipam: ipam("10.22.0.0/24") });
  const isolated = network("tenants", {
    type: "bridge",
    bridge: "cni0",
    portIsolation: true,
    ipam: { dataDir: node.dataDir },
  });
  const storage = network("storage", { type: "macvlan", master: "uplink", ipam: ipam("192.0.2.128/25") });
  const theirs = network("theirs", { type: "bridge", bridge: "br-old", isGateway: true, ipam: ipam("10.33.0.0/24") });
  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
  const pods: Namespace[] = [];
  const wire = async (list: NetworkList, containerId: string, more: object = {}) => {
    const netns = await node.pod();
    pods.push(netns);
    await wireCached(node, list, { containerId, netns, folder, args: named(containerId), ...more });
  };
  const id = (at: number): string => at.toString(16).repeat(64).slice(0, 64);
  await wire(kindnet, id(1), { args: named("default/web-6d5f8c-x2x1q"), capabilities: { portMappings } });
  for (let at = 2; at < 14; at++) await wire(kindnet, id(at), { args: named(`kube-system/dns-84b4d-${at}`) });
  await wire(bridged, "blue", { args: "" });
  await wire(bridged, "red", { args: "" });
  await wire(isolated, "green", { args: "" });
  await wire(storage, id(14), { args: named("db/postgres-0") });
  const run = async (verb: Verb, call: Call) => node.reference(verb, call);
  await wire(theirs, "legacy", { args: "", run });
  return { node, folder, pods };
}

describe("podwire map", () => {
  test("draws a node of many sorts of pods as text of 80 columns, as a drawing, and as a graph", async () => {
    const { node, folder } = await mixedNode();
    const before = await node.snapshot();
    const text = await map(node, folder);
    expect(text).toMatchObject({ exitCode: 0, stderr: "" });
    const lines = text.stdout.split("\n");
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    const picture = example("map.txt", ["node", ...lines.slice(1)].join("\n"));
    expect(picture.said).toBe(picture.kept);
    const file = join(folder, "../map.svg");
    expect((await map(node, folder, "--svg", file, "--all")).stdout).toBe(`wrote ${file}\n`);
    const drawing = readFileSync(file, "utf8").replaceAll(/(y="44" class="title">)[^<]*/g, "$1node");
    const svg = example("map.svg", drawing);
    expect(svg.said).toBe(svg.kept);
    const dot = await map(node, folder, "--dot");
    expect(dot.stdout).toMatch(/^graph podwire \{\n.*\}\n$/s);
    expect(dot.stdout).toContain('label="default/web-6d5f8c-x2x1q\\n10.244.0.2\\nfd00:244::2\\n8080/tcp -> 80"');
    expect(await node.snapshot()).toEqual(before);
    const facts = JSON.parse((await map(node, folder, "--json")).stdout) as { groups: { name: string }[] };
    expect(facts).toMatchObject({
      uplinks: [{ name: "uplink", gateways: ["192.0.2.254"] }],
      others: ["10.244.1.0/24 via 192.0.2.11", "10.244.2.0/24 via 192.0.2.12"],
      masqueraded: [{ network: "kindnet", pods: 13 }],
      ports: [{ host: "8080/tcp", pod: "default/web-6d5f8c-x2x1q", port: 80 }],
    });
    expect(facts.groups.map(({ name }) => name)).toEqual(["kindnet", "br-old", "cni0", "storage"]);
  });

  test("shows what is down, and leaves out pods that are gone", async () => {
    const { node, folder, pods } = await mixedNode();
    await node.ip("link set cni0 down");
    const legacy = (await node.links()).find(({ master }) => master === "br-old")!;
    await node.ip(`link set ${legacy.ifname} down`);
    const { stdout } = await map(node, folder);
    expect(stdout).toMatch(/-- cni0 .* DOWN, 3 pods$/m);
    expect(stdout).toMatch(/legacy {2}down$/m);
    await node.ip("route delete default");
    for (const { ifname } of await node.links()) if (ifname.startsWith("veth")) await node.ip(`link delete ${ifname}`);
    await Promise.all(pods.map(async (pod) => pod.remove()));
    expect((await map(node, folder)).stdout).toMatch(/^no default route$/m);
    expect((await map(node, folder)).stdout).toMatch(/^\d+ attachments of pods that are gone: podwire gc$/m);
  });

  test("of a node without pods says so", async () => {
    const node = await Node.create();
    const { stdout, exitCode } = await map(node, temporaryFolder("nothing"));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\S+\n\nno default route\n {2}'-- no pods\n/);
  });
});

import { describe, expect, test } from "vitest";
import { attach, bridge, type Config, hostDevice, macvlan, ptp, tap } from "./configs.ts";
import { type Attachment, type Namespace, type NetworkList, Node, runList } from "./harness.ts";
import { tcp } from "./ports.ts";

// Container id and interface name are one attachment, whatever its network is called now: DEL by the new name takes
// all of it away, and ADD works again by either name.

const limits = { ingressRate: 8e6, ingressBurst: 8e6, egressRate: 8e6, egressBurst: 8e6 };
const makes: [string, (node: Node) => Config][] = [
  ["bridge", (node) => bridge(node, { isGateway: true, ipMasq: true, macspoofchk: true })],
  ["ptp", (node) => ptp(node, { ipMasq: true })],
];
const links: [string, (node: Node) => Config][] = [
  ["macvlan", macvlan],
  ["host-device", (node) => hostDevice(node, { device: "device0" })],
  ["tap", tap],
];

/** The records and leases there are. */
const kept = (node: Node): string[] =>
  Object.keys(node.leases({ all: true })).filter((path) => /eth0|10\.9/.test(path));

async function nodeWithLinks(): Promise<Node> {
  const node = await Node.create();
  for (const name of ["uplink", "device0"]) await node.ip(`link add ${name} up type veth peer name ${name}p`);
  return node;
}

describe.each(makes)("%s with portmap, firewall, bandwidth and tuning", (_what, config) => {
  const chain = (node: Node, name: string, firewall: object = {}): NetworkList => ({
    cniVersion: "1.1.0",
    name,
    plugins: [
      config(node),
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "firewall", ...firewall },
      { type: "bandwidth", ...limits },
      { type: "tuning", mtu: 1400, sysctl: { "net.core.somaxconn": "77" }, dataDir: `${node.dataDir}/tuning` },
    ],
  });
  const capabilities = { portMappings: [tcp(8080, 80)] };

  const stays = (to: Attachment): Attachment => to;
  const goes = ({ containerId }: Attachment): Attachment => ({ containerId, netns: "" });

  test.each([
    ["its namespace there", {}, stays],
    ["the pod gone", {}, goes],
    ["its namespace there, iptables", { backend: "iptables" }, stays],
    ["the pod gone, iptables", { backend: "iptables" }, goes],
  ])("with %s", async (_how, firewall, later) => {
    const node = await nodeWithLinks();
    const run = async (verb: "ADD" | "DEL", name: string, to: Attachment): Promise<void> => {
      const call = node.podwire.bind(node);
      const answer = await runList(call, verb, chain(node, name, firewall), { ...to, capabilities });
      expect([answer.exitCode, answer.stderr]).toEqual([0, ""]);
    };
    const pod = async (): Promise<Attachment> => ({ containerId: "pod", netns: await node.pod() });
    const first = await pod();
    await run("ADD", "net", first);
    await run("DEL", "net", first);
    const before = await node.snapshot();
    const to = await pod();
    await run("ADD", "net", to);
    const after = later(to);
    if (after !== to) await (to.netns as Namespace).remove();
    await run("DEL", "renamed", after);
    expect([await node.snapshot(), kept(node)]).toEqual([before, []]);
    const again = await pod();
    await run("ADD", "renamed", again);
    await run("DEL", "renamed", again);
  });
});

describe.each([...makes, ...links])("%s alone", (_what, config) => {
  test.each(["its namespace there", "the pod gone"])("with %s", async (how) => {
    const node = await nodeWithLinks();
    const { call, pod } = await attach(node, config(node));
    if (how === "the pod gone") await pod.remove();
    const { netns, ...rest } = { ...call, config: { ...call.config, name: "renamed" } };
    await node.succeed("DEL", how === "the pod gone" ? rest : { ...rest, netns: netns! });
    expect(kept(node)).toEqual([]);
  });
});

test("host-local alone", async () => {
  const node = await Node.create();
  const config = { ...bridge(node), type: "host-local" };
  const { call } = await attach(node, config);
  await node.succeed("DEL", { ...call, config: { ...config, name: "renamed" } });
  expect(kept(node)).toEqual([]);
});

import { beforeEach, describe, expect, test } from "vitest";
import { dualStack } from "./configs.ts";
import { type Namespace, type NetworkList, type Node, type Outside, runList } from "./harness.ts";
import { dropForwarded, type Mapping, nodeWithOutside, reach, tcp } from "./ports.ts";

// Packets past the firewall plugin: hosts whose FORWARD chain drops, and bridges that are kept apart.

type Backend = "nftables" | "iptables";
const backends: Backend[] = ["nftables", "iptables"];

interface Options {
  bridge?: string;
  policy?: string;
  subnets?: [string, string];
  backend?: Backend;
  /** false: bridge and portmap alone */
  firewall?: boolean;
}

/** What nerdctl chains, on a bridge of its own. */
function listOf(node: Node, { bridge = "br0", policy, subnets, backend, firewall = true }: Options): NetworkList {
  const [subnet4, subnet6] = subnets ?? ["10.9.0.0/24", "fd00:9::/64"];
  const ipam = dualStack(node, { ranges: [[{ subnet: subnet4 }], [{ subnet: subnet6 }]] });
  const keys = { ...(policy && { ingressPolicy: policy }), ...(backend && { backend }) };
  return {
    cniVersion: "1.0.0",
    name: `net-${bridge}`,
    plugins: [
      { type: "bridge", bridge, isDefaultGateway: true, hairpinMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
      ...(firewall ? [{ type: "firewall", ...keys }] : []),
    ],
  };
}

interface Pod {
  netns: Namespace;
  ip4: string;
  ip6: string;
  list: NetworkList;
  detach(): Promise<void>;
}

let count = 0;
const run = (node: Node) => (verb: Parameters<Node["podwire"]>[0], call: Parameters<Node["podwire"]>[1]) =>
  node.podwire(verb, call);

async function attach(node: Node, list: NetworkList, ...mappings: Mapping[]): Promise<Pod> {
  const netns = await node.pod({ up: true });
  const to = { containerId: `pod-${++count}`, netns, capabilities: { portMappings: mappings } };
  const { result, stdout } = await runList(run(node), "ADD", list, to);
  if (!result) throw new Error(stdout);
  const [ip4, ip6] = result.ips!.map(({ address }) => address.replace(/\/.*/, ""));
  expect(await runList(run(node), "CHECK", list, { ...to, result })).toMatchObject({ exitCode: 0 });
  return {
    netns,
    ip4: ip4!,
    ip6: ip6!,
    list,
    detach: async () => {
      expect(await runList(run(node), "DEL", list, { ...to, result })).toMatchObject({ exitCode: 0, stderr: "" });
    },
  };
}

type Families = readonly [v4: boolean, v6: boolean];
const BOTH: Families = [true, true];
const NONE: Families = [false, false];
/** By which families one pod reaches another, where these are expected. */
async function pings(from: Namespace, to: { ip4: string; ip6: string }, [v4, v6]: Families): Promise<Families> {
  const answers = await from.reached({ [to.ip4]: v4, [to.ip6]: v6 });
  return [answers[to.ip4]!, answers[to.ip6]!];
}

let node: Node;
let outside: Outside;
beforeEach(async () => {
  ({ node, outside } = await nodeWithOutside());
});

describe.each(backends)("on a host whose FORWARD policy is DROP, by %s", (backend) => {
  const far = (): { ip4: string; ip6: string } => ({ ip4: outside.address4, ip6: outside.address6 });

  test("a pod reaches what is outside, whenever the policy came, and nothing new reaches the pod", async () => {
    const early = await attach(node, listOf(node, { backend }));
    await dropForwarded(node);
    const late = await attach(node, listOf(node, { backend }));
    const without = await attach(node, listOf(node, { firewall: false }));
    expect(await pings(early.netns, far(), BOTH)).toEqual(BOTH);
    expect(await pings(late.netns, far(), BOTH)).toEqual(BOTH);
    expect(await pings(without.netns, far(), NONE)).toEqual(NONE);
    expect(await pings(outside, late, NONE)).toEqual(NONE);
    await late.detach();
    expect(await pings(early.netns, far(), BOTH)).toEqual(BOTH);
  });

  test("a host port leads to the pod all the same", async () => {
    await dropForwarded(node);
    const pod = await attach(node, listOf(node, { backend }), tcp(8080, 80));
    const without = await attach(node, listOf(node, { firewall: false }), tcp(8081, 80));
    for (const { netns } of [pod, without]) await netns.listen(80, { name: "web" });
    expect(
      await Promise.all([
        reach(outside, outside.node4, 8080),
        reach(outside, outside.node6, 8080),
        reach(outside, pod.ip4, 80, { timeoutMs: 1500 }),
        reach(outside, outside.node4, 8081, { timeoutMs: 1500 }),
      ]),
    ).toEqual(["web saw 192.0.2.2", "web saw 2001:db8::2", "timeout", "timeout"]);
  });

  test("what the administrator's chain drops stays dropped", async () => {
    await dropForwarded(node);
    const pod = await attach(node, listOf(node, { backend }));
    expect(await pings(pod.netns, far(), BOTH)).toEqual(BOTH);
    await node.must("iptables", "-A", "CNI-ADMIN", "-d", outside.address4, "-j", "DROP");
    expect(await pings(pod.netns, far(), [false, true])).toEqual([false, true]);
  });
});

test("no mark is left on packets that leave, and one that others set passes", async () => {
  const pod = await attach(node, listOf(node, {}));
  await node.must("nft", "add table ip watch");
  await node.must("nft", "add chain ip watch after { type filter hook postrouting priority 200 ; }");
  await node.must("nft", "add rule ip watch after oifname uplink meta mark & 0x1000 != 0 counter");
  await node.must("nft", "add chain ip watch before { type filter hook prerouting priority -200 ; }");
  await node.must("nft", `add rule ip watch before ip saddr ${pod.ip4} meta mark set 0x4`);
  await node.must("nft", "add rule ip watch after oifname uplink meta mark 0x4 counter");
  expect(await pod.netns.ping(outside.address4)).toBe(true);
  const counted = (await node.must("nft", "list chain ip watch after")).match(/packets \d+/g);
  expect(counted).toEqual(["packets 0", expect.stringMatching(/packets [1-9]/)]); // a slow answer is asked for again
});

describe.each(backends)("policies by %s", (backend) => {
  const one = { bridge: "br1", subnets: ["10.9.1.0/24", "fd00:9:1::/64"], backend } satisfies Options;
  const two = { bridge: "br2", subnets: ["10.9.2.0/24", "fd00:9:2::/64"], backend } satisfies Options;
  const three = { bridge: "br3", subnets: ["10.9.3.0/24", "fd00:9:3::/64"], backend } satisfies Options;
  /** The machine outside finds the pods of br1. */
  const knowTheWay = async () => {
    await outside.ip("route add 10.9.1.0/24 via 192.0.2.1");
    await outside.ip("route add fd00:9:1::/64 via 2001:db8::1");
  };

  test("same-bridge: neighbours and the outside yes, pods of another closed bridge no, both ways; open bridges as ever", async () => {
    const policy = "same-bridge";
    const a = await attach(node, listOf(node, { ...one, policy }));
    const neighbour = await attach(node, listOf(node, { ...one, policy }));
    const b = await attach(node, listOf(node, { ...two, policy }));
    const open = await attach(node, listOf(node, three));
    await knowTheWay();
    expect(await pings(a.netns, neighbour, BOTH)).toEqual(BOTH);
    expect(await pings(a.netns, b, NONE)).toEqual(NONE);
    expect(await pings(b.netns, a, NONE)).toEqual(NONE);
    expect(await pings(a.netns, open, BOTH)).toEqual(BOTH);
    expect(await pings(open.netns, a, BOTH)).toEqual(BOTH);
    expect(await pings(a.netns, { ip4: outside.address4, ip6: outside.address6 }, BOTH)).toEqual(BOTH);
  });

  test("isolated: not the neighbour either, where bridged packets are filtered", async () => {
    const policy = "isolated";
    for (const family of ["ip", "ip6"]) await node.setSysctl(`net/bridge/bridge-nf-call-${family}tables`, 1);
    const a = await attach(node, listOf(node, { ...one, policy }));
    const neighbour = await attach(node, listOf(node, { ...one, policy }));
    const b = await attach(node, listOf(node, { ...two, policy: "same-bridge" }));
    await knowTheWay();
    expect(await pings(a.netns, neighbour, NONE)).toEqual(NONE);
    expect(await pings(neighbour.netns, a, NONE)).toEqual(NONE);
    expect(await pings(a.netns, b, NONE)).toEqual(NONE);
    expect(await pings(b.netns, a, NONE)).toEqual(NONE);
    expect(await pings(a.netns, { ip4: outside.address4, ip6: outside.address6 }, BOTH)).toEqual(BOTH);
    expect(await pings(a.netns, { ip4: "10.9.1.1", ip6: "fd00:9:1::1" }, BOTH)).toEqual(BOTH);
  });
});

test("isolated by nftables needs no br_netfilter, and holds for what a pod sends through the gateway", async () => {
  const list = listOf(node, { policy: "isolated" });
  const a = await attach(node, list);
  const neighbour = await attach(node, list);
  const gateway = (await node.link("br0"))!.address;
  expect(await pings(a.netns, neighbour, NONE)).toEqual(NONE);
  expect(await pings(neighbour.netns, a, NONE)).toEqual(NONE);
  for (const [pod, other] of [
    [a, neighbour],
    [neighbour, a],
  ] as const) {
    await pod.netns.ip(`neighbour replace ${other.ip4} lladdr ${gateway} dev eth0`);
    await pod.netns.ip(`neighbour replace ${other.ip6} lladdr ${gateway} dev eth0`);
  }
  expect(await pings(a.netns, neighbour, NONE)).toEqual(NONE);
  const before = await node.rulesetText();
  expect(before).toContain('"br0" . "br0"');
  await neighbour.detach();
  expect(await node.rulesetText()).toContain('"br0" . "br0"');
  await a.detach();
  const after = await node.rulesetText();
  expect(after).not.toContain('"br0"');
});

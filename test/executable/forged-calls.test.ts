import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  bridge,
  complaint,
  type Config,
  dualStack,
  hostDevice,
  macvlan,
  ptp,
  tap,
} from "./configs.ts";
import { type Call, type CniResult, hostState, type Namespace, Node } from "./harness.ts";
import { tcp, udp } from "./ports.ts";

// What a caller says that is not so: prevResult, CNI_NETNS and configuration may name what is another pod's.

const makes: [string, (node: Node) => Config][] = [
  ["bridge", (node) => bridge(node, { isDefaultGateway: true, ipMasq: true, ipam: dualStack(node) })],
  ["ptp", (node) => ptp(node, { ipMasq: true, ipam: dualStack(node) })],
  ["macvlan", (node) => macvlan(node, { ipam: dualStack(node) })],
  ["tap", (node) => tap(node, { ipam: dualStack(node) })],
];

/** Every chained plugin, after the one that said this. */
function chained(prevResult: CniResult, hostPort: number): Config[] {
  const base = { cniVersion: "1.1.0", name: "net", prevResult };
  const rate = { ingressRate: 1e6, ingressBurst: 1e6, egressRate: 1e6, egressBurst: 1e6 };
  const mapped = (port: number) => ({ runtimeConfig: { portMappings: [tcp(port, 80), udp(port, 53)] } });
  return [
    { ...base, type: "portmap", ...mapped(hostPort) },
    { ...base, type: "portmap", backend: "iptables", ...mapped(hostPort + 1) },
    { ...base, type: "firewall" },
    { ...base, type: "firewall", backend: "iptables" },
    { ...base, type: "bandwidth", ...rate },
    { ...base, type: "tuning", mtu: 1400, sysctl: { "net.ipv4.conf.eth0.log_martians": "1" } },
    { ...base, type: "sbr" },
  ];
}

describe.each(makes)("DEL that takes another's pod for its own, %s", (what, make) => {
  test.each(["that pod's namespace", "its own", "none"])("with %s as CNI_NETNS", async (which) => {
    const node = await Node.create();
    await node.outside();
    const victim = await attach(node, make(node));
    const evil = await attach(node, make(node));
    const hasHostEnd = what === "bridge" || what === "ptp";
    const ofLinks = (config: Config): boolean => hasHostEnd || config.type !== "bandwidth";
    for (const [{ call, result }, port] of [[victim, 8080] as const, [evil, 8090] as const]) {
      for (const config of chained(result, port).filter(ofLinks)) {
        await node.succeed("ADD", { ...call, plugin: config.type, config });
      }
    }
    const look = async () => ({ pod: await hostState(victim.pod), host: await stateOfOthers(node, evil, victim) });
    const before = await look();
    const netns = { "that pod's namespace": victim.pod, "its own": evil.pod, none: "" }[which]!;
    for (const config of [...chained(victim.result, 8080), { ...make(node), prevResult: victim.result }] as Config[]) {
      await node.succeed("DEL", { ...evil.call, netns, plugin: config.type, config });
      expect([config.type, await look()]).toEqual([config.type, before]);
    }
  });
});

/** The host's links, routes and shapers but for those of one attachment, and the rules of another. */
async function stateOfOthers(node: Node, evil: Attached, victim: Attached): Promise<unknown> {
  const { links, routes, qdiscs } = await hostState(node);
  const own = links.filter((link) => JSON.stringify(link).includes(`${evil.call.containerId!} `));
  const words = own.map(({ ifname }) => ifname as string);
  const isOther = (each: unknown): boolean => !words.some((word) => JSON.stringify(each).includes(word));
  const rules = `${await node.rulesetText()}\n${await node.must("iptables-save")}`.replaceAll(/\[\d+:\d+\]/g, "");
  const isOfVictim = (line: string): boolean => line.includes(victim.call.containerId!) || line.includes(victim.ip4);
  const sysctls = await node.must("sh", "-c", "grep . /proc/sys/net/ipv4/conf/*/route_localnet");
  return {
    sysctls: sysctls.split("\n").filter(isOther),
    links: links.filter(isOther),
    routes: routes.filter(isOther),
    qdiscs: qdiscs.filter(isOther),
    rules: rules
      .split(/[,\n{}]/)
      .map((line) => line.trim())
      .filter(isOfVictim)
      .toSorted(),
  };
}

describe("DEL of host-device with another pod's namespace and result", () => {
  const attachNext = async (node: Node, device: string): Promise<Attached> => {
    await node.ip(`link add ${device} type veth peer name far-${device}`);
    return attach(node, hostDevice(node, { device, ipam: dualStack(node) }));
  };
  const forgedOf = ({ call, result }: Attached, more: object = {}): Call => ({
    ...call,
    containerId: "stranger",
    config: { ...call.config, prevResult: result, ...more },
  });

  test.each<[string, object]>([
    ["the device's name", {}],
    ["a MAC", { device: undefined, hwaddr: "02:00:00:00:00:01" }],
    ["another name of the network", { name: "other" }],
  ])("by somebody who has no pod leaves the device where it is: %s", async (_what, more) => {
    const node = await Node.create();
    const victim = await attachNext(node, "lan0");
    await node.succeed("DEL", forgedOf(victim, more));
    expect(await complaint(node, victim)).toBe("");
    await node.succeed("DEL", victim.call);
    expect(await node.link("lan0")).toBeDefined();
  });

  test("takes back the device that is the container's own, by its record", async () => {
    const node = await Node.create();
    const [victim, evil] = [await attachNext(node, "lan0"), await attachNext(node, "lan1")];
    const { containerId = "" } = evil.call;
    await node.succeed("DEL", { ...forgedOf(victim, { device: "lan1" }), containerId });
    expect(await complaint(node, victim)).toBe("");
    expect([await evil.pod.link("eth0"), (await node.link("lan1"))?.ifname]).toEqual([undefined, "lan1"]);
  });
});

test("DEL with another's namespace takes the link of a macvlan pod from where its record says it is", async () => {
  const node = await Node.create();
  await node.outside();
  const [mine, other] = [await attach(node, macvlan(node)), await attach(node, macvlan(node))];
  await node.succeed("DEL", { ...mine.call, netns: other.pod });
  expect(await mine.pod.link("eth0")).toBeUndefined();
  expect(await complaint(node, other)).toBe("");
});

test("DEL of bandwidth takes no shaper of a link of the node that prevResult names", async () => {
  const node = await Node.create();
  await node.outside();
  await node.must("tc", ..."qdisc add dev uplink root handle 1: tbf rate 10mbit burst 100kb latency 25ms".split(" "));
  const { call, result } = await attach(node, bridge(node));
  const prevResult = { ...result, interfaces: [{ name: "uplink" }, ...result.interfaces!] };
  const config = {
    cniVersion: "1.1.0",
    name: "net",
    type: "bandwidth",
    ingressRate: 1e6,
    ingressBurst: 1e6,
    prevResult,
  };
  const before = await node.snapshot();
  for (const netns of [call.netns as Namespace, await node.pod(), ""]) {
    for (const containerId of [call.containerId!, "stranger"]) {
      await node.succeed("DEL", { ...call, containerId, netns, plugin: "bandwidth", config });
      expect(await node.snapshot()).toEqual(before);
    }
  }
});

test("a macvlan of a veth has no end on the host, whatever the numbers of links are: bandwidth does not shape the uplink", async () => {
  const node = await Node.create();
  await node.outside();
  const { call, pod, result } = await attach(node, macvlan(node));
  // what makes the two look like the ends of one veth
  expect((await pod.link("eth0"))!.ifindex).toBe((await node.link("uplink"))!.link_index);
  const config = { cniVersion: "1.1.0", name: "net", type: "bandwidth", ingressRate: 1e6, ingressBurst: 1e6 };
  const answer = await node.podwire("ADD", { ...call, plugin: "bandwidth", config: { ...config, prevResult: result } });
  expect(answer.error).toMatchObject({ code: 7, msg: expect.stringContaining("no veth") as unknown });
  expect(await node.must("tc", "qdisc", "show", "dev", "uplink")).toContain("noqueue");
});

import { beforeEach, describe, expect, test } from "vitest";
import { defaultRoutes, dualStack } from "./configs.ts";
import {
  type Answer,
  type CniResult,
  type Namespace,
  type NetworkList,
  type Node,
  type Outside,
  runList,
} from "./harness.ts";
import { type Mapping, nodeWithOutside, reach, tcp, udp } from "./ports.ts";

// Packets through port mappings: a client outside, the node, pods on a bridge or routed point to point, both backends.

type Main = "ptp" | "bridge";
type Backend = "nftables" | "iptables";

function listOf(node: Node, main: Main, keys: object = {}): NetworkList {
  const ipam = dualStack(node, { routes: defaultRoutes });
  const first =
    main === "ptp"
      ? { type: "ptp", ipam }
      : { type: "bridge", bridge: "br0", isGateway: true, hairpinMode: true, ipam };
  return {
    cniVersion: "1.0.0",
    name: "net",
    plugins: [first, { type: "portmap", capabilities: { portMappings: true }, ...keys }],
  };
}

interface Pod {
  netns: Namespace;
  containerId: string;
  result: CniResult;
  ip4: string;
  ip6: string;
}

let count = 0;
const run = (node: Node) => (verb: Parameters<Node["podwire"]>[0], call: Parameters<Node["podwire"]>[1]) =>
  node.podwire(verb, call);

const wire = async (
  node: Node,
  list: NetworkList,
  mappings: Mapping[],
  containerId = `pod-${++count}`,
): Promise<{ answer: Answer; netns: Namespace; containerId: string }> => {
  const netns = await node.pod({ up: true });
  const answer = await runList(run(node), "ADD", list, {
    containerId,
    netns,
    capabilities: { portMappings: mappings },
  });
  return { answer, netns, containerId };
};

async function attach(node: Node, list: NetworkList, ...mappings: Mapping[]): Promise<Pod> {
  const { answer, netns, containerId } = await wire(node, list, mappings);
  if (!answer.result) throw new Error(answer.stdout);
  const [ip4, ip6] = answer.result.ips!.map(({ address }) => address.replace(/\/.*/, ""));
  return { netns, containerId, result: answer.result, ip4: ip4!, ip6: ip6! };
}

const detach = async (node: Node, list: NetworkList, { netns, containerId, result }: Pod): Promise<Answer> =>
  runList(run(node), "DEL", list, { containerId, netns, result });

/** How long is waited where no answer is expected. */
const SILENCE_MS = 1500;

let node: Node;
let outside: Outside;
beforeEach(async () => {
  ({ node, outside } = await nodeWithOutside());
});

describe.each<[Main, Backend]>([
  ["ptp", "nftables"],
  ["bridge", "nftables"],
  ["ptp", "iptables"],
  ["bridge", "iptables"],
])("a pod of %s, mapped by %s", (main, backend) => {
  const gateway = { 4: "10.9.0.1", 6: "fd00:9::1" };

  test("is reached from everywhere, and sees who calls from outside", async () => {
    const list = listOf(node, main, { backend });
    const pod = await attach(node, list, tcp(8080, 80), udp(5353, 53));
    const neighbour = await attach(node, list);
    await pod.netns.listen(80, { name: "web" });
    await pod.netns.listen(53, { name: "dns", protocol: "udp" });
    expect(
      await Promise.all([
        reach(outside, outside.node4, 8080),
        reach(outside, outside.node6, 8080),
        reach(outside, outside.node4, 5353, { protocol: "udp" }),
        reach(outside, outside.node6, 5353, { protocol: "udp" }),
      ]),
    ).toEqual(["web saw 192.0.2.2", "web saw 2001:db8::2", "dns saw 192.0.2.2", "dns saw 2001:db8::2"]);
    expect(
      await Promise.all([
        reach(node, outside.node4, 8080),
        reach(node, outside.node6, 8080),
        reach(node, outside.node4, 5353, { protocol: "udp" }),
      ]),
    ).toEqual(["web saw 192.0.2.1", "web saw 2001:db8::1", "dns saw 192.0.2.1"]);
    expect(
      await Promise.all([reach(node, "127.0.0.1", 8080), reach(node, "127.0.0.1", 5353, { protocol: "udp" })]),
    ).toEqual([`web saw ${gateway[4]}`, `dns saw ${gateway[4]}`]);
    expect(await Promise.all([reach(pod.netns, outside.node4, 8080), reach(pod.netns, outside.node6, 8080)])).toEqual([
      `web saw ${gateway[4]}`,
      `web saw ${gateway[6]}`,
    ]);
    expect(
      await Promise.all([
        reach(neighbour.netns, outside.node4, 8080),
        reach(neighbour.netns, outside.node6, 8080),
        reach(neighbour.netns, outside.node4, 5353, { protocol: "udp" }),
      ]),
    ).toEqual([`web saw ${gateway[4]}`, `web saw ${gateway[6]}`, `dns saw ${gateway[4]}`]);
    expect(
      await runList(run(node), "CHECK", list, {
        containerId: pod.containerId,
        netns: pod.netns,
        result: pod.result,
        capabilities: { portMappings: [tcp(8080, 80), udp(5353, 53)] },
      }),
    ).toMatchObject({ exitCode: 0 });
  });

  test("[::1] is refused at once", async () => {
    await attach(node, listOf(node, main, { backend }), tcp(8080, 80));
    expect(await reach(node, "::1", 8080)).toBe("ECONNREFUSED");
  });

  test("what is merely routed through the node passes untouched", async () => {
    const beyond = await node.outside({
      node4: "198.51.100.1",
      outside4: "198.51.100.2",
      node6: "2001:db8:1::1",
      outside6: "2001:db8:1::2",
      uplink: "uplink2",
    });
    for (const [from, via] of [
      [outside, ["192.0.2.1", "2001:db8::1"]],
      [beyond, ["198.51.100.1", "2001:db8:1::1"]],
    ] as const) {
      await from.ip(`route add default via ${via[0]}`);
      await from.ip(`route add default via ${via[1]}`);
    }
    const pod = await attach(node, listOf(node, main, { backend }), tcp(8080, 80), tcp(8081, 80, "192.0.2.1"));
    await pod.netns.listen(80, { name: "web" });
    await beyond.listen(8080, { name: "beyond" });
    await beyond.listen(8081, { name: "beyond" });
    expect(
      await Promise.all([
        reach(outside, "198.51.100.2", 8080),
        reach(outside, "2001:db8:1::2", 8080),
        reach(outside, "198.51.100.2", 8081),
        reach(pod.netns, "198.51.100.2", 8080),
      ]),
    ).toEqual(["beyond saw 192.0.2.2", "beyond saw 2001:db8::2", "beyond saw 192.0.2.2", `beyond saw ${pod.ip4}`]);
  });

  test("hostIP chooses address and family", async () => {
    const mappings = [
      tcp(1, 80, "127.0.0.1"),
      tcp(2, 80, "192.0.2.1"),
      tcp(3, 80, "0.0.0.0"),
      tcp(4, 80, "::"),
      tcp(5, 80, "2001:db8::1"),
      tcp(6, 80, "::ffff:192.0.2.1"),
      tcp(7, 80, "203.0.113.9"),
      tcp(8, 80, "::1"),
    ];
    const pod = await attach(node, listOf(node, main, { backend }), ...mappings);
    await pod.netns.listen(80, { name: "web" });
    const answers = async (from: Namespace, address: string): Promise<number[]> => {
      const all = await Promise.all(
        mappings.map(async ({ hostPort }) =>
          (await reach(from, address, hostPort)).startsWith("web") ? [hostPort] : [],
        ),
      );
      return all.flat();
    };
    expect(await answers(outside, "192.0.2.1")).toEqual([2, 3, 6]);
    expect(await answers(outside, "2001:db8::1")).toEqual([4, 5]);
    expect(await answers(node, "127.0.0.1")).toEqual([1, 3]);
    expect(await answers(node, "192.0.2.1")).toEqual([2, 3, 6]);
  });

  test("snat false keeps every source and gives up localhost, masqAll hides every source", async () => {
    const plain = await attach(node, listOf(node, main, { backend, snat: false }), tcp(8080, 80));
    await plain.netns.listen(80, { name: "web" });
    expect(await reach(outside, outside.node4, 8080)).toBe("web saw 192.0.2.2");
    expect(await reach(node, "127.0.0.1", 8080, { timeoutMs: SILENCE_MS })).toBe("timeout");
    const all = await attach(node, listOf(node, main, { backend, masqAll: true, markMasqBit: 7 }), tcp(8081, 80));
    await all.netns.listen(80, { name: "all" });
    expect(
      await Promise.all([
        reach(outside, outside.node4, 8081),
        reach(outside, outside.node6, 8081),
        reach(node, "127.0.0.1", 8081),
      ]),
    ).toEqual([`all saw ${gateway[4]}`, `all saw ${gateway[6]}`, `all saw ${gateway[4]}`]);
  });

  test("is unmapped by DEL, twice, and without anything but its name", async () => {
    const list = listOf(node, main, { backend });
    const pod = await attach(node, list, tcp(8080, 80), udp(5353, 53));
    const other = await attach(node, list, tcp(9090, 80));
    await other.netns.listen(80, { name: "other" });
    const bare = {
      plugin: "portmap",
      containerId: pod.containerId,
      config: { cniVersion: "0.3.1", name: "net", type: "portmap", backend },
    };
    await node.succeed("DEL", bare);
    await node.succeed("DEL", bare);
    expect(`${await node.rulesetText()}${await node.must("iptables-save")}`).not.toMatch(/8080|5353/);
    expect(await reach(outside, outside.node4, 9090)).toBe("other saw 192.0.2.2");
    expect(await detach(node, list, pod)).toMatchObject({ exitCode: 0 });
    expect(await reach(outside, outside.node4, 9090)).toBe("other saw 192.0.2.2");
  });

  test("holds its host port as long as it lives", async () => {
    const list = listOf(node, main, { backend });
    const holder = await attach(node, list, tcp(8080, 80));
    const { answer } = await wire(node, list, [tcp(8080, 80)]);
    expect(answer.error).toMatchObject({
      code: 11,
      msg: expect.stringMatching(
        `host port tcp 8080 is held by container ${holder.containerId}, interface eth0, network net`,
      ) as string,
    });
    const veth = holder.result.interfaces!.find(({ name, sandbox }) => !sandbox && name.startsWith("veth"))!.name;
    await node.ip(`link delete ${veth}`);
    const heir = await attach(node, list, tcp(8080, 80));
    await heir.netns.listen(80, { name: "heir" });
    expect(await reach(outside, outside.node4, 8080)).toBe("heir saw 192.0.2.2");
  });

  test("takes over UDP clients at once, and gives them up at once", async () => {
    const list = listOf(node, main, { backend });
    const client = { protocol: "udp", sourcePort: 40000 } as const;
    const ask = async () =>
      outside.connect(outside.node4, 5353, client).then(
        ({ server }) => server,
        (error: Error) => error.message,
      );
    await node.listen(5353, { name: "node", protocol: "udp" });
    expect(await ask()).toBe("node");
    const first = await attach(node, list, udp(5353, 53));
    await first.netns.listen(53, { name: "first", protocol: "udp" });
    expect(await ask()).toBe("first");
    await detach(node, list, first);
    expect(await ask()).toBe("node");
    const second = await attach(node, list, udp(5353, 53));
    await second.netns.listen(53, { name: "second", protocol: "udp" });
    expect(await ask()).toBe("second");
  });
});

test("127.0.0.1 of the node stays out of a pod's reach, though the pod's link may carry it", async () => {
  const { netns } = await attach(node, listOf(node, "ptp"), tcp(8080, 80));
  await node.listen(9000, { name: "secret", host: "127.0.0.9" });
  await netns.setSysctl("net/ipv4/conf/eth0/route_localnet", 1);
  await netns.ip("route delete local 127.0.0.0/8 dev lo table local");
  await netns.ip("route add 127.0.0.9/32 via 10.9.0.1 dev eth0");
  expect(await reach(node, "127.0.0.9", 9000)).toBe("secret saw 127.0.0.1");
  expect(await reach(netns, "127.0.0.9", 9000, { timeoutMs: SILENCE_MS })).toBe("timeout");
  // what is seen here is the rule at work, not the absence of a way
  await node.must("nft", "flush", "chain", "inet", "podwire", "localhost");
  expect(await reach(netns, "127.0.0.9", 9000)).toBe("secret saw 10.9.0.2");
});

describe("a neighbour on the same bridge", () => {
  test.each([0, 1])("reaches the host port with bridge-nf-call-iptables %i", async (value) => {
    const list = listOf(node, "bridge");
    const pod = await attach(node, list, tcp(8080, 80));
    const neighbour = await attach(node, list);
    await pod.netns.listen(80, { name: "web" });
    const switches = ["iptables", "ip6tables"].map((table) => `net/bridge/bridge-nf-call-${table}`);
    const known = (await node.run("test", ["-e", `/proc/sys/${switches[0]}`])).exitCode === 0;
    if (known) for (const path of switches) await node.setSysctl(path, value);
    expect(
      await Promise.all([
        reach(neighbour.netns, outside.node4, 8080),
        reach(pod.netns, outside.node4, 8080),
        reach(neighbour.netns, outside.node6, 8080),
      ]),
    ).toEqual(["web saw 10.9.0.1", "web saw 10.9.0.1", "web saw fd00:9::1"]);
  });
});

import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach, type Attached, bridge, callFor, complaint, dualStack, failure } from "./configs.ts";
import { type Namespace, Node, reference } from "./harness.ts";

const full = (node: Node) =>
  bridge(node, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, hairpinMode: true, ipam: dualStack(node) });
const otherMac = "02:00:00:00:00:aa";

/** What is done by hand to a live attachment, and what CHECK must say then. */
const damages: [string, (node: Node, attached: Attached) => Promise<unknown>, RegExp][] = [
  [
    "the IPv4 address",
    async (_node, { pod }) => pod.ip("address del 10.9.0.2/24 dev eth0"),
    /address 10\.9\.0\.2\/24 is missing/,
  ],
  [
    "the IPv6 address",
    async (_node, { pod }) => pod.ip("address del fd00:9::2/64 dev eth0"),
    /address fd00:9::2\/64 is missing/,
  ],
  [
    "the prefix length",
    async (_node, { pod }) =>
      pod.ip("address add 10.9.0.2/16 dev eth0").then(async () => pod.ip("address del 10.9.0.2/24 dev eth0")),
    /10\.9\.0\.2\/24/,
  ],
  ["the default route", async (_node, { pod }) => pod.ip("route del default"), /route 0\.0\.0\.0\/0 via 10\.9\.0\.1/],
  [
    "the default route's gateway",
    async (_node, { pod }) => pod.ip("-6 route replace default via fd00:9::9"),
    /route ::\/0 via fd00:9::1/,
  ],
  [
    "the container's end: down",
    async (_node, { pod }) => pod.ip("link set eth0 down"),
    /eth0 in the container is down/,
  ],
  [
    "the container's end: its MAC",
    async (_node, { pod }) => pod.ip(`link set eth0 address ${otherMac}`),
    /eth0 in the container has MAC 02:00:00:00:00:aa/,
  ],
  [
    "the pair",
    async (node, { hostVeth }) => node.ip(`link delete ${hostVeth}`),
    /eth0 does not exist in the container/,
  ],
  ["the host's end: down", async (node, { hostVeth }) => node.ip(`link set ${hostVeth} down`), /on the host is down/],
  [
    "the bridge port",
    async (node, { hostVeth }) => node.ip(`link set ${hostVeth} nomaster`),
    /not a port of bridge br0/,
  ],
  [
    "hairpin mode",
    async (node, { hostVeth }) => node.ip(`link set ${hostVeth} type bridge_slave hairpin off`),
    /hairpin mode .* is off/,
  ],
  [
    "port isolation",
    async (node, { hostVeth }) => node.ip(`link set ${hostVeth} type bridge_slave isolated on`),
    /isolation .* is on/,
  ],
  ["the bridge: down", async (node) => node.ip("link set br0 down"), /bridge br0 is down/],
  ["the bridge: its MAC", async (node) => node.ip(`link set br0 address ${otherMac}`), /bridge br0 has MAC/],
  ["the bridge: promiscuous", async (node) => node.ip("link set br0 promisc on"), /bridge br0 is promiscuous/],
  [
    "the gateway address",
    async (node) => node.ip("address del 10.9.0.1/24 dev br0"),
    /address 10\.9\.0\.1\/24 is missing on br0/,
  ],
  ["IPv4 forwarding", async (node) => node.setSysctl("net/ipv4/ip_forward", 0), /does not forward IPv4/],
  ["IPv6 forwarding", async (node) => node.setSysctl("net/ipv6/conf/all/forwarding", 0), /does not forward IPv6/],
  [
    "the masquerade element",
    async (node) => node.must("nft", "flush", "map", "inet", "podwire", "masquerade4"),
    /masquerade4/,
  ],
  ["the masquerade table", async (node) => node.must("nft", "delete", "table", "inet", "podwire"), /podwire/],
  [
    "the leases",
    async (node) => ["10.9.0.2", "fd00:9::2"].forEach((ip) => rmSync(join(node.dataDir, "net", ip))),
    /failed to find an address/,
  ],
];

describe("bridge CHECK", () => {
  test("is content with what ADD made, for an attachment among others", async () => {
    const node = await Node.create();
    const one = await attach(node, full(node));
    const two = await attach(node, full(node));
    expect([await complaint(node, one), await complaint(node, two)]).toEqual(["", ""]);
  });

  test.each(damages)("notices a change of %s", async (_what, damage, message) => {
    const node = await Node.create();
    const attached = await attach(node, full(node));
    await damage(node, attached);
    expect(await complaint(node, attached)).toMatch(message);
  });

  test("judges a pod the reference made, too", async () => {
    const node = await Node.create();
    const config = { ...full(node), cniVersion: reference.newest ? "1.1.0" : "1.0.0" };
    const call = await callFor(node, config);
    const { result } = await node.reference("ADD", call);
    const check = { ...call, config: { ...config, prevResult: result } };
    expect((await node.podwire("CHECK", check)).stdout).toBe("");
    await (call.netns as Namespace).ip("route del default");
    expect(failure(await node.podwire("CHECK", check)).msg).toMatch(/route 0\.0\.0\.0\/0/);
  });

  test("names all differences at once", async () => {
    const node = await Node.create();
    const attached = await attach(node, full(node));
    await attached.pod.ip("address del 10.9.0.2/24 dev eth0");
    await node.ip(`link set ${attached.hostVeth} nomaster`);
    expect(await complaint(node, attached)).toMatch(/not a port.*10\.9\.0\.2\/24/);
  });

  test("needs prevResult, and one that is about this interface", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node));
    expect(failure(await node.podwire("CHECK", attached.call))).toMatchObject({
      code: 7,
      msg: expect.stringContaining("prevResult"),
    });
    expect(await complaint(node, attached, { ifname: "net1" })).not.toBe("");
    const other = { ...attached, result: { ...attached.result, interfaces: attached.result.interfaces!.slice(0, 2) } };
    expect(await complaint(node, other)).toMatch(/prevResult\.interfaces/);
  });

  test("looks at its own attachment only: an address of a chained plugin's interface is none of its business", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node));
    const interfaces = [
      ...attached.result.interfaces!,
      { name: "tunl0" },
      { name: "net9", sandbox: attached.pod.path },
    ];
    const ips = [...attached.result.ips!, { address: "10.99.0.1/24", interface: 4 }];
    expect(await complaint(node, { ...attached, result: { ...attached.result, interfaces, ips } })).toBe("");
  });

  test("fails for a container that is not attached, with code 4 where its namespace is gone", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node));
    expect(await complaint(node, attached, { containerId: "somebody-else" })).not.toBe("");
    const gone = await callFor(node, { ...bridge(node), prevResult: attached.result }, { netns: "/run/netns/gone" });
    expect(failure(await node.podwire("CHECK", gone)).code).toBe(4);
  });
});

import { describe, expect, test } from "vitest";
import { attach, type Attached, complaint, dualStack, hostLocal, ptp, v4, v6 } from "./configs.ts";
import { Node } from "./harness.ts";

const routed = (node: Node, more: object = {}) =>
  ptp(node, { gatewayMode: "link-local", ipam: dualStack(node), ...more });
const linkLocalOf = async (node: Node, { hostVeth }: Attached): Promise<string> =>
  (await node.link(hostVeth))!.addr_info.find(({ local }) => local.startsWith("fe80:"))!.local;

describe("ptp, link-local gateways", () => {
  test("single addresses, default routes through the host veth, one host route per address, no bridge", async () => {
    const node = await Node.create();
    const attached = await attach(node, routed(node));
    const { pod, result, hostVeth } = attached;
    const gateway6 = await linkLocalOf(node, attached);
    expect(await pod.addresses("eth0")).toEqual(["10.9.0.2/32", "fd00:9::2/128"]);
    expect(await pod.routes()).toMatchObject([
      { dst: "default", gateway: "169.254.1.1", dev: "eth0" },
      { dst: "169.254.1.1", dev: "eth0", scope: "link" },
    ]);
    expect((await pod.routes(6)).find(({ dst }) => dst === "default")).toMatchObject({
      gateway: gateway6,
      dev: "eth0",
    });
    expect(await node.routes()).toMatchObject([{ dst: "10.9.0.2", dev: hostVeth, scope: "link" }]);
    expect((await node.routes(6)).find(({ dst }) => dst === "fd00:9::2")).toMatchObject({ dev: hostVeth });
    expect(await node.addresses(hostVeth)).toEqual([]);
    expect(await node.sysctl(`net/ipv4/conf/${hostVeth}/proxy_arp`)).toBe("1");
    expect((await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "bridge")).toEqual([]);
    expect(result.ips).toEqual([
      { address: "10.9.0.2/32", gateway: "169.254.1.1", interface: 1 },
      { address: "fd00:9::2/128", gateway: gateway6, interface: 1 },
    ]);
    expect(result.routes).toEqual([
      { dst: "0.0.0.0/0", gw: "169.254.1.1" },
      { dst: "::/0", gw: gateway6 },
    ]);
    expect(await complaint(node, attached)).toBe("");
  });

  test.each([
    ["IPv4", [[v4]]],
    ["IPv6", [[v6]]],
    ["dual stack", [[v4], [v6]]],
  ])("%s: pod to pod, pod to node and back, at once", async (_what, ranges) => {
    const node = await Node.create();
    for (const address of ["10.200.0.1/32", "fd00:200::1/128"]) await node.ip(`address add ${address} dev lo`);
    const config = routed(node, { ipam: hostLocal(node, { ranges }) });
    const [one, two] = [await attach(node, config), await attach(node, config)];
    const pairs = [
      [one.ip4, two.ip4],
      [one.ip6, two.ip6],
    ].filter(([ip]) => ip);
    for (const [from, to] of pairs as [string, string][]) {
      expect([await one.pod.ping(to), await node.ping(from)]).toEqual([true, true]);
    }
    await node.listen(80);
    if (one.ip4) {
      expect(await one.pod.connect("10.200.0.1", 80)).toMatchObject({ from: one.ip4 });
    }
    if (one.ip6) {
      expect(await one.pod.connect("fd00:200::1", 80)).toMatchObject({ from: one.ip6 });
    }
    expect(await complaint(node, two)).toBe("");
  });

  test("through the masquerade; the pods of the subnet see each other's own addresses", async () => {
    const node = await Node.create();
    const outside = await node.outside();
    await outside.listen(8080);
    const config = routed(node, { ipMasq: true });
    const [one, two] = [await attach(node, config), await attach(node, config)];
    expect((await one.pod.connect(outside.address4, 8080)).from).toBe(outside.node4);
    expect((await one.pod.connect(outside.address6, 8080)).from).toBe(outside.node6);
    await two.pod.listen(80);
    expect((await one.pod.connect(two.ip4, 80)).from).toBe(one.ip4);
    expect((await one.pod.connect(two.ip6, 80)).from).toBe(one.ip6);
    expect(await complaint(node, one)).toBe("");
  });

  test("the host veth answers for any address, so a pod that lost its neighbour entry still gets out", async () => {
    const node = await Node.create();
    await node.outside();
    const { pod } = await attach(node, routed(node));
    await node.ip("route add default via 192.0.2.2");
    await pod.ip("neighbour del 169.254.1.1 dev eth0");
    expect(await pod.ping("192.0.2.1")).toBe(true);
  });

  test("no frame of one pod arrives at another", async () => {
    const node = await Node.create();
    const [one, two] = [await attach(node, routed(node)), await attach(node, routed(node))];
    await two.pod.must(
      "nft",
      "add table inet seen; add chain inet seen in { type filter hook input priority 0; }; add rule inet seen in ip saddr 10.9.0.2 counter",
    );
    const received = async (): Promise<number> =>
      Number(/packets (\d+)/.exec(await two.pod.must("nft", "list", "table", "inet", "seen"))![1]);
    await one.pod.ping("255.255.255.255", { timeoutS: 1, args: ["-b", "-I", "eth0"] });
    expect(await received()).toBe(0);
    await one.pod.ping(two.ip4);
    expect(await received()).toBeGreaterThan(0);
  });

  test("other routes of IPAM come after the defaults, and need no neighbour of their own", async () => {
    const node = await Node.create();
    const routes = [{ dst: "0.0.0.0/0" }, { dst: "10.200.0.0/16" }, { dst: "10.201.0.0/16", gw: "10.9.0.1" }];
    const attached = await attach(node, routed(node, { ipam: dualStack(node, { routes }) }));
    const found = await attached.pod.routes();
    expect(found.filter(({ dst }) => dst === "default")).toHaveLength(1);
    expect(found.find(({ dst }) => dst === "10.200.0.0/16")).toMatchObject({ gateway: "169.254.1.1" });
    expect(found.find(({ dst }) => dst === "10.201.0.0/16")).toMatchObject({ gateway: "10.9.0.1", flags: ["onlink"] });
    expect(await complaint(node, attached)).toBe("");
  });

  test("DEL leaves nothing", async () => {
    const node = await Node.create();
    await attach(node, routed(node, { ipMasq: true }));
    const before = await node.snapshot();
    const { call } = await attach(node, routed(node, { ipMasq: true }));
    await node.succeed("DEL", call);
    expect(await node.snapshot()).toEqual(before);
  });

  const damages: [string, (node: Node, attached: Attached) => Promise<unknown>, RegExp][] = [
    [
      "the pod's address",
      async (_node, { pod }) => pod.ip("address del 10.9.0.2/32 dev eth0"),
      /10\.9\.0\.2\/32 is missing/,
    ],
    ["the route to the gateway", async (_node, { pod }) => pod.ip("route del 169.254.1.1"), /169\.254\.1\.1\/32/],
    ["the default route", async (_node, { pod }) => pod.ip("-6 route del default"), /route ::\/0 via fe80:/],
    ["the host's route", async (node) => node.ip("route del 10.9.0.2"), /10\.9\.0\.2\/32/],
    [
      "the host's link-local address",
      async (node, attached) => node.ip(`address del ${await linkLocalOf(node, attached)}/64 dev ${attached.hostVeth}`),
      /fe80:.*is missing/,
    ],
    ["proxy_arp", async (node, { hostVeth }) => node.setSysctl(`net/ipv4/conf/${hostVeth}/proxy_arp`, 0), /proxy_arp/],
  ];

  test.each(damages)("CHECK notices a change of %s", async (_what, damage, message) => {
    const node = await Node.create();
    const attached = await attach(node, routed(node));
    await damage(node, attached);
    expect(await complaint(node, attached)).toMatch(message);
  });
});

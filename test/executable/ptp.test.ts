import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  callFor,
  complaint,
  detectSlowly,
  dualStack,
  hostLocal,
  ptp,
  refusal,
  v4,
} from "./configs.ts";
import { type IpRoute, Node, reference } from "./harness.ts";

const dual = (node: Node, more: object = {}) =>
  ptp(node, { ipam: dualStack(node, { routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] }), ...more });

/** Routes as `ip route` would print them, without those of link-local addresses. */
const lines = (routes: IpRoute[]): string[] =>
  routes
    .filter(({ dst }) => !dst.startsWith("fe80:"))
    .map(({ dst, gateway, dev, scope, prefsrc, metric }) =>
      [
        dst,
        gateway && `via ${gateway}`,
        `dev ${dev}`,
        scope && `scope ${scope}`,
        prefsrc && `src ${prefsrc}`,
        metric && `metric ${metric}`,
      ]
        .filter(Boolean)
        .join(" "),
    )
    .sort();

const reached = async ({ pod }: Attached, ...addresses: string[]): Promise<boolean[]> =>
  Promise.all(addresses.map(async (ip) => pod.ping(ip)));

describe("ptp", () => {
  test("the gateway of other pods is taken for what it is also before the kernel has made it a local address", async () => {
    const node = await Node.create();
    await attach(node, ptp(node, { ipam: dualStack(node) }));
    await node.ip("-6 route delete local fd00:9::1 table local");
    const second = await attach(node, ptp(node, { ipam: dualStack(node) }));
    expect([await node.ping(second.ip4), await node.ping(second.ip6)]).toEqual([true, true]);
  });

  test("routes of both ends are the reference's", async () => {
    const node = await Node.create();
    const { pod, hostVeth } = await attach(node, dual(node));
    expect(lines(await pod.routes())).toEqual([
      "10.9.0.0/24 via 10.9.0.1 dev eth0 src 10.9.0.2",
      "10.9.0.1 dev eth0 scope link src 10.9.0.2",
      "default via 10.9.0.1 dev eth0",
    ]);
    expect(lines(await pod.routes(6))).toEqual([
      "default via fd00:9::1 dev eth0 metric 1024",
      "fd00:9::/64 via fd00:9::1 dev eth0 src fd00:9::2 metric 1024",
      "fd00:9::1 dev eth0 src fd00:9::2 metric 1024",
    ]);
    expect(lines(await node.routes())).toEqual([`10.9.0.2 dev ${hostVeth} scope host`]);
    expect(lines(await node.routes(6)).filter((line) => line.startsWith("fd00:9::2"))).toEqual([
      `fd00:9::2 dev ${hostVeth} metric 1024`,
    ]);
    expect(await node.addresses(hostVeth)).toEqual(["10.9.0.1/32", "fd00:9::1/128"]);
    expect(await pod.addresses("eth0")).toEqual(["10.9.0.2/24", "fd00:9::2/64"]);
  });

  test("pods reach each other, the node and the other way round, in both families and at once", async () => {
    const node = await Node.create();
    const config = dual(node);
    const [one, two] = [await attach(node, config), await attach(node, config)];
    expect(await reached(two, one.ip4, one.ip6, "10.9.0.1", "fd00:9::1")).toEqual([true, true, true, true]);
    expect([await node.ping(two.ip4), await node.ping(two.ip6)]).toEqual([true, true]);
    expect([await node.sysctl("net/ipv4/ip_forward"), await node.sysctl("net/ipv6/conf/all/forwarding")]).toEqual([
      "1",
      "1",
    ]);
  });

  test("ADD waits for no duplicate address detection: IPv6 works when it returns", async () => {
    const node = await Node.create();
    const call = await callFor(node, dual(node));
    await detectSlowly(call, 240); // an ADD that waited would give up
    await node.succeed("ADD", call);
    const pod = call.netns as Attached["pod"];
    expect(
      (await pod.link("eth0"))?.addr_info.some(({ tentative, local }) => tentative && !local.startsWith("fe80:")),
    ).toBe(false);
    expect(await pod.ping("fd00:9::1")).toBe(true);
  });

  test("one family alone switches on the forwarding of that family only", async () => {
    const node = await Node.create();
    const { pod, result } = await attach(node, ptp(node, { ipam: hostLocal(node, v4) }));
    expect([await node.sysctl("net/ipv4/ip_forward"), await node.sysctl("net/ipv6/conf/all/forwarding")]).toEqual([
      "1",
      "0",
    ]);
    expect(lines(await pod.routes())).toEqual([
      "10.9.0.0/24 via 10.9.0.1 dev eth0 src 10.9.0.2",
      "10.9.0.1 dev eth0 scope link src 10.9.0.2",
    ]);
    expect(result.routes).toBeUndefined();
  });

  test("result, MTU and DNS", async () => {
    const node = await Node.create();
    const dns = { nameservers: ["10.1.0.1"], search: [] };
    const { result, pod, hostVeth } = await attach(node, ptp(node, { mtu: 1400, dns }));
    const [host, inside] = [(await node.link(hostVeth))!, (await pod.link("eth0"))!];
    expect(result).toEqual({
      cniVersion: "1.1.0",
      interfaces: [
        { name: hostVeth, mac: host.address, mtu: 1400 },
        { name: "eth0", mac: inside.address, mtu: 1400, sandbox: pod.path },
      ],
      ips: [{ address: "10.9.0.2/24", gateway: "10.9.0.1", interface: 1 }],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }].slice(0, result.routes?.length),
      dns: { nameservers: ["10.1.0.1"] },
    });
    expect([host.mtu, inside.mtu]).toEqual([1400, 1400]);
  });

  test("two attachments in one namespace, of one network, both pass CHECK", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const first = await attach(node, dual(node), { netns: pod, containerId: "one" });
    const second = await attach(node, dual(node), { netns: pod, containerId: "one", ifname: "net1" });
    expect([await complaint(node, first), await complaint(node, second)]).toEqual(["", ""]);
    expect([await node.ping(second.ip4), await node.ping(second.ip6)]).toEqual([true, true]);
    await node.succeed("DEL", second.call);
    expect([await complaint(node, first), await node.ping(first.ip4)]).toEqual(["", true]);
  });

  test("two networks in one namespace", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const first = await attach(node, ptp(node), { netns: pod });
    const other = ptp(node, { name: "other", ipam: hostLocal(node, { subnet: "10.10.0.0/24" }) });
    const second = await attach(node, other, { netns: pod, ifname: "net1" });
    expect([await complaint(node, first), await complaint(node, second)]).toEqual(["", ""]);
    expect(await reached(second, "10.9.0.1", "10.10.0.1")).toEqual([true, true]);
  });

  test("takes over no route: one to the pod's address that leads elsewhere is an error that names where", async () => {
    const node = await Node.create();
    await node.ip("link add name left type veth peer name over");
    for (const line of ["link set left up", "link set over up", "route add 10.9.0.2 dev left scope host"]) {
      await node.ip(line);
    }
    const before = await node.snapshot();
    expect(await refusal(node, await callFor(node, ptp(node)))).toMatchObject({
      code: 11,
      msg: expect.stringMatching(/10\.9\.0\.2\/32.*link left/) as unknown,
    });
    expect(await node.snapshot()).toEqual(before);
  });

  test("enabledad detects a duplicate on the link", async () => {
    const node = await Node.create();
    const { pod } = await attach(node, dual(node, { enabledad: true }));
    expect(await pod.sysctl("net/ipv6/conf/eth0/accept_dad")).toBe("1");
    expect((await pod.link("eth0"))?.addr_info.some(({ tentative }) => tentative)).toBe(false);
  });

  test.each([
    ["no ipam", { ipam: undefined }, 7, /ipam\.type.*ptp/],
    [
      "wrong keys, all at once",
      { mtu: 67, gatewayMode: "l2", ipMasq: "yes" },
      7,
      /(?=.*mtu is 67)(?=.*gatewayMode is "l2".*"subnet" or "link-local")(?=.*ipMasq is "yes")/,
    ],
    [
      "no gateway from IPAM",
      { cniVersion: "1.0.0", ipam: { type: "static", addresses: [{ address: "10.9.0.5/24" }] } },
      7,
      /gateway for 10\.9\.0\.5\/24/,
    ],
  ])("configuration error: %s", async (_what, more, code, msg) => {
    const node = await Node.create();
    const before = await node.snapshot();
    expect(await refusal(node, await callFor(node, ptp(node, more), { path: reference.folder }))).toMatchObject({
      code,
      msg: expect.stringMatching(msg),
    });
    expect(await node.snapshot()).toEqual(before);
  });
});

describe("ptp CHECK", () => {
  const damages: [string, (node: Node, attached: Attached) => Promise<unknown>, RegExp][] = [
    [
      "the address",
      async (_node, { pod }) => pod.ip("address del 10.9.0.2/24 dev eth0"),
      /address 10\.9\.0\.2\/24 is missing/,
    ],
    ["the route to the gateway", async (_node, { pod }) => pod.ip("route del 10.9.0.1"), /route 10\.9\.0\.1\/32/],
    [
      "the route to the subnet",
      async (_node, { pod }) => pod.ip("-6 route del fd00:9::/64"),
      /route fd00:9::\/64 via fd00:9::1/,
    ],
    ["the default route", async (_node, { pod }) => pod.ip("route del default"), /route 0\.0\.0\.0\/0/],
    [
      "the gateway's address",
      async (node, { hostVeth }) => node.ip(`address del 10.9.0.1/32 dev ${hostVeth}`),
      /10\.9\.0\.1\/32 is missing/,
    ],
    ["the host's route", async (node) => node.ip("-6 route del fd00:9::2"), /route fd00:9::2\/128/],
    ["forwarding", async (node) => node.setSysctl("net/ipv4/ip_forward", 0), /does not forward IPv4/],
    ["the pair", async (node, { hostVeth }) => node.ip(`link delete ${hostVeth}`), /does not exist/],
    ["masquerading", async (node) => node.must("nft", "delete", "table", "inet", "podwire"), /podwire/],
  ];

  test.each(damages)("notices a change of %s", async (_what, damage, message) => {
    const node = await Node.create();
    const attached = await attach(node, dual(node, { ipMasq: true }));
    expect(await complaint(node, attached)).toBe("");
    await damage(node, attached);
    expect(await complaint(node, attached)).toMatch(message);
  });
});

import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  attach,
  bridge,
  complaint,
  defaultRoutes,
  dualStack,
  hostLocal,
  refusal,
  callFor,
  v4,
  v6,
  versions,
} from "./configs.ts";
import { Node, reference } from "./harness.ts";

const defaultsOf = (routes: { dst: string }[]): object[] => routes.filter(({ dst }) => dst === "default");

describe("bridge: gateway and addresses", () => {
  test("two pods reach each other, and the bridge is named cni0 unless the configuration says otherwise", async () => {
    const node = await Node.create();
    const config = bridge(node);
    delete config.bridge;
    const one = await attach(node, config);
    const two = await attach(node, config);
    expect(one.result.interfaces?.[0]).toMatchObject({ name: "cni0" });
    expect((await node.link(two.hostVeth))?.master).toBe("cni0");
    expect(await one.pod.addresses("eth0")).toEqual(["10.9.0.2/24"]);
    expect(await one.pod.ping(two.ip4)).toBe(true);
    expect(await node.addresses("cni0")).toEqual([]);
    expect(await node.sysctl("net/ipv4/ip_forward")).toBe("0");
  });

  test("isGateway gives the bridge the gateway's address and switches forwarding on, and adds no route", async () => {
    const node = await Node.create();
    const { pod } = await attach(
      node,
      bridge(node, { isGateway: true, ipam: hostLocal(node, { subnet: "10.9.0.64/28" }) }),
    );
    expect(await node.addresses("br0")).toEqual(["10.9.0.65/28"]);
    expect([await node.sysctl("net/ipv4/ip_forward"), await node.sysctl("net/ipv6/conf/all/forwarding")]).toEqual([
      "1",
      "0",
    ]);
    expect(await pod.ping("10.9.0.65")).toBe(true);
    expect((await pod.routes()).map(({ dst }) => dst)).toEqual(["10.9.0.64/28"]);
  });

  test("a gateway IPAM leaves open is the subnet's first address, and the result says so", async () => {
    const node = await Node.create();
    const ipam = { type: "static", addresses: [{ address: "10.9.0.70/26" }] };
    const { result, pod } = await attach(node, bridge(node, { cniVersion: "1.0.0", isGateway: true, ipam }), {
      path: reference.folder,
    });
    expect(result.ips).toEqual([{ address: "10.9.0.70/26", gateway: "10.9.0.65", interface: 2 }]);
    expect(await pod.ping("10.9.0.65")).toBe(true);
  });

  test("isDefaultGateway adds one default route per family through the gateway", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, { isDefaultGateway: true, ipam: dualStack(node) }));
    expect(defaultsOf(await attached.pod.routes())).toMatchObject([{ gateway: "10.9.0.1", dev: "eth0" }]);
    expect(defaultsOf(await attached.pod.routes(6))).toMatchObject([{ gateway: "fd00:9::1", dev: "eth0" }]);
    expect(attached.result.routes).toEqual([
      { dst: "0.0.0.0/0", gw: "10.9.0.1" },
      { dst: "::/0", gw: "fd00:9::1" },
    ]);
    expect((await node.addresses("br0")).sort()).toEqual(["10.9.0.1/24", "fd00:9::1/64"]);
    expect(await complaint(node, attached)).toBe("");
  });

  test.each([
    ["isDefaultGateway", "without gw", [{ dst: "0.0.0.0/0" }, { dst: "::/0" }], "10.9.0.1"],
    [
      "isDefaultGateway",
      "with gw",
      [
        { dst: "0.0.0.0/0", gw: "10.9.0.7" },
        { dst: "::/0", gw: "fd00:9::7" },
      ],
      "10.9.0.7",
    ],
    ["isGateway", "without gw", [{ dst: "0.0.0.0/0" }, { dst: "::/0" }], "10.9.0.1"],
  ])("%s and IPAM default routes %s end in one default route per family", async (key, _how, routes, gateway) => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, { [key]: true, ipam: dualStack(node, { routes }) }));
    expect(defaultsOf(await attached.pod.routes())).toMatchObject([{ gateway }]);
    expect(defaultsOf(await attached.pod.routes(6))).toMatchObject([
      { gateway: gateway.replace("10.9.0.", "fd00:9::") },
    ]);
    expect(await complaint(node, attached)).toBe("");
  });

  test("dual stack: both families reach the node and another pod at once", async () => {
    const node = await Node.create();
    const config = bridge(node, { isDefaultGateway: true, ipam: dualStack(node) });
    const one = await attach(node, config);
    const two = await attach(node, config);
    const replies = await Promise.all([one.ip4, one.ip6, "10.9.0.1", "fd00:9::1"].map(async (ip) => two.pod.ping(ip)));
    expect(replies).toEqual([true, true, true, true]);
    expect(await node.sysctl("net/ipv6/conf/all/forwarding")).toBe("1");
  });

  test("a gateway may lie outside its subnet, but must be of its family", async () => {
    const node = await Node.create();
    const config = (gateway: string) => bridge(node, { ipam: hostLocal(node, { ...v6, gateway }) });
    const { result, pod } = await attach(node, { ...config("fe80::1"), isDefaultGateway: false });
    expect(result.ips).toMatchObject([{ address: "fd00:9::1/64", gateway: "fe80::1" }]);
    expect(await pod.addresses("eth0")).toContain("fd00:9::1/64");
    expect(await refusal(node, await callFor(node, config("10.8.0.1")))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/ipam\.gateway is "10\.8\.0\.1".*IPv6/) as unknown,
    });
  });

  test("pods take no router's word: accept_ra is 0 on both ends and on the bridge", async () => {
    const node = await Node.create();
    const { pod, hostVeth } = await attach(node, bridge(node, { ipam: dualStack(node) }));
    const sysctl = "net/ipv6/conf/";
    expect([
      await pod.sysctl(`${sysctl}eth0/accept_ra`),
      await node.sysctl(`${sysctl}${hostVeth}/accept_ra`),
      await node.sysctl(`${sysctl}br0/accept_ra`),
    ]).toEqual(["0", "0", "0"]);
    expect(await pod.sysctl(`${sysctl}eth0/keep_addr_on_down`)).toBe("1");
  });
});

describe("bridge: routes of IPAM", () => {
  const routes = [
    { dst: "0.0.0.0/0" },
    { dst: "192.168.0.0/16", gw: "10.9.0.7", mtu: 1400, advmss: 1300 },
    { dst: "172.16.0.0/12", priority: 50 },
    { dst: "172.20.0.0/16", table: 100 },
    { dst: "172.21.0.0/16", table: 4000 },
    { dst: "10.77.0.0/16", scope: 253 },
    { dst: "1.2.3.4/8" },
    { dst: "fd77::/48", gw: "fd00:9::7", mtu: 1390 },
  ];

  test("are installed with mtu, advmss, table, priority and scope, reported as given, and pass CHECK", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, { ipam: dualStack(node, { routes }) }));
    const main = [...(await attached.pod.routes()), ...(await attached.pod.routes(6))];
    const route = (dst: string): object | undefined => main.find((each) => each.dst === dst);
    expect(route("default")).toMatchObject({ gateway: "10.9.0.1" });
    expect(route("192.168.0.0/16")).toMatchObject({ gateway: "10.9.0.7", metrics: [{ mtu: 1400, advmss: 1300 }] });
    expect(route("172.16.0.0/12")).toMatchObject({ gateway: "10.9.0.1", metric: 50 });
    expect(route("10.77.0.0/16")).toMatchObject({ dev: "eth0", scope: "link" });
    expect(route("10.77.0.0/16")).not.toHaveProperty("gateway");
    expect(route("1.0.0.0/8")).toMatchObject({ gateway: "10.9.0.1" });
    expect(route("fd77::/48")).toMatchObject({ gateway: "fd00:9::7", metrics: [{ mtu: 1390 }] });
    expect(await attached.pod.routes(4, "100")).toMatchObject([{ dst: "172.20.0.0/16", gateway: "10.9.0.1" }]);
    expect(await attached.pod.routes(4, "4000")).toMatchObject([{ dst: "172.21.0.0/16", gateway: "10.9.0.1" }]);
    expect(attached.result.routes).toEqual(routes);
    expect(await complaint(node, attached)).toBe("");
  });

  test.each([
    ["gone from its table", "route del 172.20.0.0/16 table 100", /172\.20\.0\.0\/16 .*table 100/],
    [
      "through another gateway",
      "route replace 192.168.0.0/16 via 10.9.0.8 mtu 1400 advmss 1300",
      /192\.168\.0\.0\/16 via 10\.9\.0\.7/,
    ],
    ["with another mtu", "route replace 192.168.0.0/16 via 10.9.0.7 mtu 1200 advmss 1300", /192\.168\.0\.0\/16/],
    ["with another scope", "route replace 10.77.0.0/16 dev eth0 scope global", /10\.77\.0\.0\/16/],
    ["moved to another device", "route replace 10.77.0.0/16 dev lo scope link", /10\.77\.0\.0\/16/],
  ])("CHECK complains about one that is %s", async (_what, change, message) => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, { ipam: dualStack(node, { routes }) }));
    await attached.pod.ip("link set lo up");
    await attached.pod.ip(change);
    expect(await complaint(node, attached)).toMatch(message);
  });
});

describe("bridge: DNS", () => {
  const own = { nameservers: ["10.1.0.1"], domain: "example.org", search: ["a.example.org"], options: ["ndots:5"] };

  test.each([
    ["replaces IPAM's whole", own, own],
    ["with an empty list replaces it with nothing", { nameservers: [] }, undefined],
    [
      "with only an empty domain leaves IPAM's",
      { domain: "" },
      { nameservers: ["10.5.0.1"], search: ["ipam.example"] },
    ],
    ["that is absent leaves IPAM's", undefined, { nameservers: ["10.5.0.1"], search: ["ipam.example"] }],
  ])("`dns` %s", async (_what, dns, expected) => {
    const node = await Node.create();
    const resolvConf = `${node.dataDir}/resolv.conf`;
    writeFileSync(resolvConf, "nameserver 10.5.0.1\nsearch ipam.example\n");
    const { result } = await attach(
      node,
      bridge(node, { ...(dns && { dns }), ipam: hostLocal(node, { ...v4, resolvConf }) }),
    );
    expect(result.dns).toEqual(expected);
  });
});

describe("bridge: results by version", () => {
  const cases = versions;
  test.each(cases)("%s", async (cniVersion) => {
    const node = await Node.create();
    const ipam = dualStack(node, { routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }] });
    const { result, pod } = await attach(node, bridge(node, { cniVersion, isGateway: true, mtu: 1400, ipam }));
    const port = (await node.links()).find(({ ifname }) => ifname.startsWith("veth"))!;
    const old = cniVersion.startsWith("0.");
    const mtu = cniVersion === "1.1.0" ? { mtu: 1400 } : {};
    const version = (family: string): object => (old ? { version: family } : {});
    const route = { dst: "0.0.0.0/0", gw: "10.9.0.1" };
    expect(result).toEqual(
      /^0\.[12]\./.test(cniVersion)
        ? {
            cniVersion,
            ip4: { ip: "10.9.0.2/24", gateway: "10.9.0.1", routes: [route] },
            ip6: { ip: "fd00:9::2/64", gateway: "fd00:9::1" },
            dns: {},
          }
        : {
            cniVersion,
            interfaces: [
              { name: "br0", mac: (await node.link("br0"))!.address, ...mtu },
              { name: port.ifname, mac: port.address, ...mtu },
              { name: "eth0", mac: (await pod.link("eth0"))!.address, ...mtu, sandbox: pod.path },
            ],
            ips: [
              { ...version("4"), address: "10.9.0.2/24", gateway: "10.9.0.1", interface: 2 },
              { ...version("6"), address: "fd00:9::2/64", gateway: "fd00:9::1", interface: 2 },
            ],
            routes: [route],
            ...(old && { dns: {} }),
          },
    );
  });

  test("two interfaces of one container on one network each have their own wiring", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const config = bridge(node, {
      isGateway: true,
      ipMasq: true,
      ipam: hostLocal(node, { ...v4, routes: defaultRoutes.slice(0, 1) }),
    });
    const first = await attach(node, { ...config, ipam: hostLocal(node) }, { netns: pod, containerId: "one" });
    const second = await attach(node, config, { netns: pod, containerId: "one", ifname: "net1" });
    expect([await pod.addresses("eth0"), await pod.addresses("net1")]).toEqual([["10.9.0.2/24"], ["10.9.0.3/24"]]);
    expect([await complaint(node, first), await complaint(node, second)]).toEqual(["", ""]);
    await node.succeed("DEL", first.call);
    expect(await complaint(node, second)).toBe("");
    expect(await pod.ping("10.9.0.1")).toBe(true);
    expect(node.leases()).toEqual({ "net/10.9.0.3": "one\r\nnet1" });
  });
});

import { describe, expect, test } from "vitest";
import {
  attach,
  bridge,
  callFor,
  complaint,
  type Config,
  hostLocal,
  linkOf,
  macvlan,
  ptp,
  refusal,
  v4,
  v6,
} from "./configs.ts";
import { Node, reference } from "./harness.ts";

describe("what the reference takes and nobody is harmed by", () => {
  test.each(["", "nonsense"])("ipMasqBackend %j while ipMasq is off", async (ipMasqBackend) => {
    const node = await Node.create();
    await attach(node, bridge(node, { ipMasqBackend }));
    await attach(node, ptp(node, { name: "routed", ipMasqBackend, ipam: hostLocal(node, { subnet: "10.8.0.0/24" }) }));
    const masquerading = bridge(node, { ipMasq: true, ipMasqBackend: "nonsense" });
    expect(await refusal(node, await callFor(node, masquerading))).toMatchObject({
      code: 7,
      msg: expect.stringContaining("ipMasqBackend") as unknown,
    });
    await attach(node, bridge(node, { ipMasq: true, ipMasqBackend: "" }));
  });

  test("a range that starts on the network's address, or ends on the broadcast address: without them", async () => {
    const node = await Node.create();
    const keys = [
      { subnet: "10.9.0.0/29", rangeStart: "10.9.0.0", rangeEnd: "10.9.0.7" },
      { ...v6, rangeStart: "fd00:9::" },
    ];
    const config = bridge(node, { isGateway: true, ipam: hostLocal(node, { ranges: keys.map((each) => [each]) }) });
    for (const host of [2, 3, 4, 5, 6]) {
      const attached = await attach(node, config);
      expect([attached.ip4, attached.ip6]).toEqual([`10.9.0.${host}`, `fd00:9::${host}`]);
      expect([await node.ping(attached.ip4), await node.ping(attached.ip6)]).toEqual([true, true]);
    }
    expect(await refusal(node, await callFor(node, config))).toMatchObject({ code: 11 });
  });

  describe("an unspecified gateway, which is none: reported as it is, routes are on the link, CHECK is content", () => {
    const given = {
      type: "static",
      addresses: [
        { address: "10.9.0.5/24", gateway: "0.0.0.0" },
        { address: "fd00:9::5/64", gateway: "::" },
      ],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }, { dst: "10.99.0.0/16", gw: "0.0.0.0" }],
    };
    const v4Only = { ...given, addresses: given.addresses.slice(0, 1), routes: [{ dst: "10.99.0.0/16" }] };
    test.each<[string, (node: Node) => Config]>([
      ["bridge", (node) => bridge(node, { ipam: given })],
      ["bridge, gateway", (node) => bridge(node, { isDefaultGateway: true, ipam: v4Only })],
      [
        "bridge, host-local",
        (node) => bridge(node, { isGateway: true, ipam: hostLocal(node, { ...v4, gateway: "0.0.0.0" }) }),
      ],
      ["macvlan", (node) => macvlan(node, { ipam: given })],
      ["ptp", (node) => ptp(node, { ipam: v4Only })],
    ])("%s", async (_what, config) => {
      const node = await Node.create();
      await node.outside();
      const attached = await attach(node, config(node));
      expect(attached.result.ips![0]).toMatchObject({ gateway: "0.0.0.0" });
      expect(await complaint(node, attached)).toBe("");
      const routes = [...(await attached.pod.routes(4)), ...(await attached.pod.routes(6))];
      expect(routes.filter(({ gateway }) => gateway !== undefined)).toEqual([]);
      if (attached.call.config.ipam === given) {
        expect(routes.filter(({ dst }) => dst === "default" || dst === "10.99.0.0/16")).toHaveLength(3);
      }
      const holders = (await node.links()).flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
      expect(holders).not.toContain("0.0.0.0");
      await node.succeed("DEL", attached.call);
    });
  });

  describe("a gateway of another family, by which no route can lead: reported, routes are on the link", () => {
    const given = {
      type: "static",
      addresses: [{ address: "10.9.0.5/24", gateway: "fe80::1" }],
      routes: [{ dst: "10.99.0.0/16" }],
    };
    test.each<[string, (node: Node, more: object) => Config]>([
      ["bridge", bridge],
      ["macvlan", macvlan],
    ])("%s", async (_what, make) => {
      const node = await Node.create();
      await node.outside();
      const attached = await attach(node, make(node, { ipam: given }));
      expect(attached.result.ips![0]).toMatchObject({ gateway: "fe80::1" });
      expect(await complaint(node, attached)).toBe("");
      expect(await attached.pod.routes(4)).toContainEqual({ dst: "10.99.0.0/16", dev: "eth0", flags: [] });
    });

    test("but ptp, whose pods have no other way, says so", async () => {
      const node = await Node.create();
      const error = await refusal(node, await callFor(node, ptp(node, { ipam: given })));
      expect(error).toMatchObject({ code: 7, msg: expect.stringMatching(/10\.9\.0\.5.*fe80::1.*family/) as unknown });
    });
  });

  describe("what does not count, for another place is heard first, or nothing asks for it", () => {
    const mac = "02:00:00:00:00:99";
    const first = { runtimeConfig: { mac } };
    const ports = { backend: "none", snat: "y", conditionsV4: "x", runtimeConfig: { portMappings: [{ hostPort: 0 }] } };
    const asked = { runtimeConfig: { ips: ["10.9.0.5/24"] } };
    const wrong = { type: "static", addresses: [{ address: "zz" }] };
    test.each<[string, (node: Node) => Config, string?]>([
      ["bridge, keys of port mappings it does not do", (node) => bridge(node, ports)],
      ["ptp, the same", (node) => ptp(node, { ...ports, markMasqBit: 1, externalSetMarkChain: "A" })],
      ["bridge, args.cni.mac", (node) => bridge(node, { ...first, args: { cni: { mac: "zz" } } })],
      ["bridge, CNI_ARGS", (node) => bridge(node, first), "MAC=zz"],
      ["macvlan, mac", (node) => macvlan(node, { ...first, mac: "zz" })],
      ["macvlan, CNI_ARGS", (node) => macvlan(node, first), "MAC=zz"],
      ["macvlan, mac behind CNI_ARGS", (node) => macvlan(node, { mac: "zz" }), `MAC=${mac}`],
      ["tap, mac", (node) => ({ ...macvlan(node, { ...first, mac: "zz", owner: 0, group: 0 }), type: "tap" })],
      ["bridge, static's addresses", (node) => bridge(node, { ...asked, ipam: wrong })],
    ])("%s", async (_what, config, args) => {
      const node = await Node.create();
      await node.outside();
      const attached = await attach(node, config(node), args === undefined ? {} : { args });
      if (JSON.stringify([config(node), args]).includes(mac)) {
        expect(await linkOf(attached)).toMatchObject({ address: mac });
      }
      await node.succeed("DEL", attached.call);
    });

    test("but what counts is said, and what goes with it", async () => {
      const node = await Node.create();
      const config = bridge(node, { backend: "none", mtu: "x", hairpinMode: true, promiscMode: true });
      expect((await refusal(node, await callFor(node, config))).msg).toMatch(/mtu is "x"/);
      expect((await refusal(node, await callFor(node, { ...config, mtu: 0 }))).msg).toMatch(/promiscMode.*hairpinMode/);
      const mapping = { ...config, capabilities: { portMappings: true }, hairpinMode: false };
      expect((await refusal(node, await callFor(node, { ...mapping, mtu: 0 }))).msg).toMatch(/backend is "none"/);
    });
  });

  test.each([
    ["10.9.0.0/24", "::"],
    ["fd00:9::/64", "0.0.0.0"],
  ])("that is so in %s though it is of the other family, %s", async (subnet, gateway) => {
    const node = await Node.create();
    const dst = subnet.includes(":") ? "::/0" : "0.0.0.0/0";
    const ipam = hostLocal(node, { subnet, gateway, routes: [{ dst }] });
    const makes = [bridge(node, { ipam }), bridge(node, { isDefaultGateway: true, ipam }), ptp(node, { ipam })];
    for (const config of makes) {
      const attached = await attach(node, config);
      expect(attached.result.ips).toMatchObject([{ gateway }]);
      expect(await complaint(node, attached)).toBe("");
      const routes = await attached.pod.routes(subnet.includes(":") ? 6 : 4);
      expect(routes.find((route) => route.dst === "default")).toMatchObject({ dev: "eth0" });
      expect(routes.filter((route) => route.gateway !== undefined)).toEqual([]);
      await node.succeed("DEL", attached.call);
    }
  });

  test("an MTU below 0 is the kernel's choice", async () => {
    const node = await Node.create();
    const routed = { name: "routed", ipam: hostLocal(node, { subnet: "10.8.0.0/24" }) };
    await node.outside();
    const tap = { ...macvlan(node, { mtu: -1, owner: 0, group: 0 }), type: "tap" };
    const configs = [bridge(node, { mtu: -1 }), ptp(node, { mtu: -1, ...routed }), macvlan(node, { mtu: -1 }), tap];
    for (const config of configs) {
      expect(await linkOf(await attach(node, config))).toMatchObject({ mtu: 1500 });
    }
  });

  const negative = { mtu: -1, advmss: -5, priority: -5, table: -1, scope: -1 };
  const routes = [{ dst: "10.99.0.0/16", ...negative }];

  test("negative numbers of a route: reported as they are, and not installed", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, { isGateway: true, ipam: hostLocal(node, { ...v4, routes }) }));
    expect(attached.result.routes).toEqual(routes);
    expect(await attached.pod.must("ip", "route", "show", "10.99.0.0/16")).toMatch(/via 10\.9\.0\.1 dev eth0\s*$/);
    expect(await complaint(node, attached)).toBe("");
  });

  test.each(["static", "host-local"])("negative numbers of a route in %s, for whoever asked it", async (type) => {
    const node = await Node.create();
    const ipam = { ...hostLocal(node), addresses: [{ address: "10.9.0.2/24" }], type, routes };
    const { result } = await node.succeed("ADD", await callFor(node, { cniVersion: "1.1.0", name: "net", type, ipam }));
    expect(result!.routes).toEqual(routes);
  });
});

describe("CHECK of MTUs", () => {
  test.each([
    ["asked for", { mtu: 1400 }],
    ["the kernel's own", {}],
  ])("%s: a change of either end is found", async (_what, more) => {
    const node = await Node.create();
    for (const config of [
      bridge(node, more),
      ptp(node, { name: "routed", ipam: hostLocal(node, { subnet: "10.8.0.0/24" }), ...more }),
    ]) {
      const attached = await attach(node, config);
      expect(await complaint(node, attached)).toBe("");
      await attached.pod.ip("link set eth0 mtu 1300");
      expect(await complaint(node, attached)).toMatch(/link eth0 in the container has MTU 1300, not 1[45]00/);
      await attached.pod.ip("link set eth0 mtu 1500");
      await node.ip(`link set ${attached.hostVeth} mtu 1280`);
      expect(await complaint(node, attached)).toMatch(/on the host has MTU 1280/);
    }
  });
});

describe.runIf(reference.newest)("a pod the reference made, on a node that went over to podwire", () => {
  const given = { type: "static", addresses: [{ address: "10.7.0.5/24", gateway: "10.7.0.1" }] };

  test.each<[string, string, (node: Node) => object]>([
    [
      "bridge with static addresses",
      "bridge",
      () => ({ isGateway: true, ipMasq: true, ipMasqBackend: "nftables", ipam: given }),
    ],
    [
      "bridge with static addresses, iptables",
      "bridge",
      () => ({ isGateway: true, ipMasq: true, ipMasqBackend: "iptables", ipam: given }),
    ],
    ["bridge without IPAM", "bridge", () => ({ ipam: undefined })],
    ["ptp with static addresses", "ptp", () => ({ ipMasq: true, ipMasqBackend: "nftables", ipam: given })],
  ])("%s: DEL without prevResult leaves nothing, and ADD works again", async (_what, plugin, keys) => {
    const node = await Node.create();
    const config = { cniVersion: "0.3.1", name: "net", type: plugin, bridge: "br0", ...keys(node) };
    const first = await callFor(node, config, { path: reference.folder });
    await node.reference("ADD", first);
    await node.reference("DEL", first);
    const before = await node.snapshot();
    const call = { ...(await callFor(node, config)), path: first.path! };
    expect((await node.reference("ADD", call)).exitCode).toBe(0);
    await node.succeed("DEL", call);
    expect(await node.snapshot()).toEqual(before);
    await node.succeed("ADD", call);
    await node.succeed("DEL", call);
  });
});

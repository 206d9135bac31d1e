import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  callFor,
  complaint,
  type Config,
  dualStack,
  failure,
  hostLocal,
  linkOf,
  macvlan,
  namesIn,
  refusal,
} from "./configs.ts";
import type { Node } from "./harness.ts";
import { network } from "./uplink.ts";

// What a failed ADD, DEL, CHECK and STATUS of macvlan do and leave; what pods get is in macvlan.test.ts.

describe("a failed ADD of macvlan leaves nothing", () => {
  test("where a gateway is out of reach", async () => {
    const { node } = await network();
    const ipam = hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "10.77.0.0/16", gw: "10.88.0.1" }] });
    const call = await callFor(node, macvlan(node, { ipam }));
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringContaining("gateway") as unknown });
    expect(await namesIn(call)).toEqual(["lo"]);
    expect(node.leases()).toEqual({});
    await node.succeed("ADD", { ...call, config: macvlan(node) });
  });

  test("where the name is another link's, which stays", async () => {
    const { node } = await network();
    const pod = await node.pod();
    await pod.ip("link add eth0 type veth peer name other");
    const call = await callFor(node, macvlan(node), { netns: pod });
    expect(await refusal(node, call)).toMatchObject({
      code: 4,
      msg: expect.stringContaining("already exists") as unknown,
    });
    expect(await pod.link("eth0")).toMatchObject({ linkinfo: { info_kind: "veth" } });
    expect(node.leases()).toEqual({});
    await node.succeed("DEL", call);
    expect(await pod.link("eth0")).toMatchObject({ linkinfo: { info_kind: "veth" } });
  });

  test("a second ADD of the same interface is refused, and the first one lives", async () => {
    const { node } = await network();
    for (const config of [macvlan(node), macvlan(node, { ipam: undefined })]) {
      const attached = await attach(node, config);
      expect([4, 7]).toContain((await refusal(node, attached.call)).code);
      expect(await complaint(node, attached)).toBe("");
    }
  });
});

describe("DEL of macvlan", () => {
  const without: [string, (attached: Attached) => object][] = [
    ["prevResult", () => ({})],
    ["namespace", () => ({ netns: "" })],
    ["a namespace that is there", () => ({ netns: "/run/netns/no-such" })],
    ["master, and with a mode there is not", ({ call }) => ({ config: { ...call.config, master: "gone", mode: "x" } })],
  ];
  test.each(without)("works without %s, twice", async (_what, more) => {
    const { node } = await network();
    const attached = await attach(node, macvlan(node, { ipam: dualStack(node) }));
    for (let times = 0; times < 2; times++) await node.succeed("DEL", { ...attached.call, ...more(attached) });
    expect(node.leases({ all: true })).not.toHaveProperty(`.podwire/net/${attached.call.containerId}:eth0`);
    expect(node.leases()).toEqual({});
    expect(await attached.pod.link("eth0")).toBeUndefined();
  });

  test("when the namespace is gone, or the master and the link with it", async () => {
    const { node } = await network();
    const attached = await attach(node, macvlan(node));
    await attached.pod.remove();
    await node.succeed("DEL", attached.call);
    const other = await attach(node, macvlan(node));
    await node.ip("link delete uplink");
    expect(await other.pod.link("eth0")).toBeUndefined();
    await node.succeed("DEL", other.call);
    expect(node.leases()).toEqual({});
  });

  test("does not touch the interface of another pod, whose namespace CNI_NETNS names by mistake", async () => {
    const { node } = await network();
    const [mine, other] = [await attach(node, macvlan(node)), await attach(node, macvlan(node))];
    await node.succeed("DEL", { ...mine.call, netns: other.pod });
    expect(await complaint(node, other)).toBe("");
    // one that says of itself nothing any more is still told by its address
    await other.pod.run("ip", ["link", "set", "eth0", "alias", ""]);
    const third = await attach(node, macvlan(node));
    await node.succeed("DEL", { ...third.call, netns: other.pod });
    expect(await other.pod.addresses("eth0")).toEqual([`${other.ip4}/24`]);
    await node.succeed("DEL", other.call);
    expect(await other.pod.link("eth0")).toBeUndefined();
  });

  test("GC removes the links of attachments that are not valid, in their namespaces, with their leases", async () => {
    const { node } = await network();
    const [kept, lost, moved] = [
      await attach(node, macvlan(node)),
      await attach(node, macvlan(node)),
      await attach(node, macvlan(node)),
    ];
    // another namespace has its path now
    await moved.pod.remove();
    await node.must("ip", "netns", "add", moved.pod.name);
    await moved.pod.ip("link add eth0 type veth peer name other");
    const valid = [{ containerID: kept.call.containerId, ifname: "eth0" }];
    const config = { ...macvlan(node), "cni.dev/valid-attachments": valid };
    await node.succeed("GC", { plugin: "macvlan", config });
    expect(await lost.pod.link("eth0")).toBeUndefined();
    expect(await moved.pod.link("eth0")).toBeDefined();
    expect(await complaint(node, kept)).toBe("");
    expect(Object.values(node.leases())).toEqual([`${kept.call.containerId}\r\neth0`]);
  });
});

describe("CHECK of macvlan names what is not as ADD made it", () => {
  test.each<[string, string, RegExp]>([
    ["the link", "link delete eth0", /link eth0 does not exist in the container/],
    ["its MAC", "link set eth0 address 02:00:00:00:00:77", /MAC 02:00:00:00:00:77/],
    [
      "its mode",
      "link set eth0 type macvlan mode private",
      /mode of link eth0 in the container is private, not bridge/,
    ],
    ["its MTU", "link set eth0 mtu 1300", /MTU 1300, not 1400/],
    ["its state", "link set eth0 down", /is down/],
    ["an address", "address flush dev eth0", /address 10\.9\.0\.2\/24 is missing/],
    ["a route", "route delete default", /route 0\.0\.0\.0\/0 via 10\.9\.0\.1 through eth0 is missing/],
  ])("%s", async (_what, line, message) => {
    const { node } = await network();
    const ipam = hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "0.0.0.0/0" }] });
    const attached = await attach(node, macvlan(node, { mtu: 1400, ipam }));
    expect(await complaint(node, attached)).toBe("");
    await attached.pod.ip(line);
    expect(await complaint(node, attached)).toMatch(message);
  });

  test("its master, its kind, its lease", async () => {
    const { node } = await network();
    await node.ip("link add second type veth peer name far");
    const attached = await attach(node, macvlan(node));
    const elsewhere = { ...attached, call: { ...attached.call, config: macvlan(node, { master: "second" }) } };
    expect(await complaint(node, elsewhere)).toMatch(/eth0 in the container is not one of master second/);
    await attached.pod.ip("link delete eth0");
    await attached.pod.ip("link add eth0 type veth peer name other");
    expect(await complaint(node, attached)).toMatch(/eth0 in the container is not a macvlan but a veth/);
  });
});

test("CHECK of macvlan without mtu: the MTU its master had, or has by now where that is smaller", async () => {
  const { node } = await network();
  const fixed = { type: "static", addresses: [{ address: "10.9.0.20/24" }], dataDir: node.dataDir };
  const unset = { ipam: undefined, dataDir: node.dataDir };
  for (const more of [{}, { ipam: fixed }, unset]) {
    const attached = await attach(node, macvlan(node, more));
    const { pod } = attached;
    await pod.ip("link set eth0 mtu 1400");
    expect(await complaint(node, attached)).toMatch(/link eth0 in the container has MTU 1400, not 1500/);
    await pod.ip("link set eth0 mtu 1500");
    expect(await complaint(node, attached)).toBe("");
    await node.ip("link set uplink mtu 9000");
    expect([(await linkOf(attached)).mtu, await complaint(node, attached)]).toEqual([1500, ""]);
    await node.ip("link set uplink mtu 1300");
    expect([(await linkOf(attached)).mtu, await complaint(node, attached)]).toEqual([1300, ""]);
    await node.ip("link set uplink mtu 1500");
    expect(await complaint(node, attached)).toMatch(/link eth0 in the container has MTU 1300, not 1500/);
    await node.succeed("DEL", attached.call);
  }
});

describe("leases of macvlan pods", () => {
  const small = (node: Node): Config =>
    macvlan(node, {
      ipam: hostLocal(node, { ranges: [[{ subnet: "10.9.0.0/24", rangeStart: "10.9.0.5", rangeEnd: "10.9.0.6" }]] }),
    });

  test("stay while their namespaces do, though nothing of them is seen on the host; are taken back when those are gone", async () => {
    const { node } = await network();
    const [one, two] = [await attach(node, small(node)), await attach(node, small(node))];
    expect(await refusal(node, await callFor(node, small(node)))).toMatchObject({ code: 11 });
    await one.pod.remove();
    const three = await attach(node, small(node));
    expect(three.ip4).toBe(one.ip4);
    expect(await complaint(node, two)).toBe("");
    // a namespace of the same path is another one
    await two.pod.remove();
    await node.must("ip", "netns", "add", two.pod.name);
    expect((await attach(node, small(node))).ip4).toBe(two.ip4);
  });
});

test("macvlan: STATUS asks IPAM, and needs no master", async () => {
  const { node } = await network();
  await node.succeed("STATUS", { plugin: "macvlan", config: macvlan(node, { master: "gone" }) });
  const broken = macvlan(node, { ipam: hostLocal(node, { subnet: "10.9.0.0/24", dataDir: "/dev/null/x" }) });
  expect(failure(await node.podwire("STATUS", { plugin: "macvlan", config: broken }))).toMatchObject({ code: 50 });
});

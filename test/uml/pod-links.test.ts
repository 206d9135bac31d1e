import { readFileSync, rmSync } from "node:fs";
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
  namesIn,
  programs,
  refusal,
} from "../executable/configs.ts";
import { Node, type Outside, reference } from "../executable/harness.ts";

// ipvlan, vlan and dummy: what is the same for them as for macvlan is tested in test/executable/macvlan.test.ts.

/** A node whose link `uplink` is on a network with a machine outside, which is in VLAN 100 of it, too. */
async function network(): Promise<{ node: Node; outside: Outside }> {
  const node = await Node.create();
  const outside = await node.outside();
  await outside.ip("address add 10.9.0.254/24 dev eth0");
  await outside.ip("link add link eth0 name eth0.100 up type vlan id 100");
  await outside.ip("address add 10.8.0.254/24 dev eth0.100");
  return { node, outside };
}

const config = (node: Node, type: string, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type,
  ...(type === "dummy" ? {} : { master: "uplink" }),
  ...(type === "vlan" ? { vlanId: 100, ipam: hostLocal(node, { subnet: "10.8.0.0/24" }) } : { ipam: hostLocal(node) }),
  ...more,
});

describe("vlan", () => {
  test("is on the master's network with the tag of its VLAN, and on no other VLAN of it", async () => {
    const { node, outside } = await network();
    const attached = await attach(node, config(node, "vlan"));
    const uplink = (await node.link("uplink"))!;
    expect(attached.result.interfaces).toEqual([{ name: "eth0", mac: uplink.address, sandbox: attached.pod.path }]);
    expect(await linkOf(attached)).toMatchObject({
      mtu: 1500,
      linkinfo: { info_kind: "vlan", info_data: { id: 100 } },
    });
    // outside, eth0.100 takes in nothing but what has the tag
    expect(await outside.ping(attached.ip4)).toBe(true);
    const other = await attach(node, config(node, "vlan", { vlanId: 200 }));
    expect(await outside.ping(other.ip4, { timeoutS: 1 })).toBe(false);
    expect([await complaint(node, attached), await complaint(node, other)]).toEqual(["", ""]);
    await node.succeed("DEL", attached.call);
    expect(await namesIn(attached.call)).toEqual(["lo"]);
    const next = await attach(node, config(node, "vlan", { mtu: 1400, vlanId: undefined }));
    expect(await linkOf(next)).toMatchObject({ mtu: 1400, linkinfo: { info_data: { id: 0 } } });
    expect(await complaint(node, next)).toBe("");
  });

  test("refuses what is wrong, naming the key, and changes nothing", async () => {
    const { node } = await network();
    const call = await callFor(node, config(node, "vlan"));
    const before = await node.snapshot();
    const prevResult = { cniVersion: "1.1.0", interfaces: [{ name: "uplink" }], ips: [] };
    for (const [more, msg] of [
      [{ master: undefined }, /master/],
      [{ master: undefined, prevResult }, /master/],
      [{ vlanId: 4095 }, /vlanId is 4095, must be a whole number from 0 to 4094/],
      [{ ipam: undefined }, /ipam\.type: vlan needs an IPAM plugin/],
      [{ mtu: 1501 }, /mtu is 1501, must be at most 1500/],
      [{ master: "eth7" }, /master: link "eth7" does not exist on the host/],
      [{ master: "lo", mtu: 1500 }, /master: link "lo" cannot carry a vlan/],
    ] as [object, RegExp][]) {
      const wrong = { ...call, config: config(node, "vlan", more) };
      expect(await refusal(node, wrong)).toMatchObject({ code: 7, msg: expect.stringMatching(msg) as unknown });
      expect(await namesIn(call)).toEqual(["lo"]);
      await node.succeed("DEL", wrong);
    }
    expect(await node.snapshot()).toEqual(before);
  });

  test("one link for each VLAN of a master: the next one is told, and the first lives; a master that is down", async () => {
    const { node } = await network();
    const first = await attach(node, config(node, "vlan"));
    const call = await callFor(node, config(node, "vlan"));
    expect((await refusal(node, call)).msg).toMatch(/vlanId: link "uplink" has its link of VLAN 100 already/);
    expect(await complaint(node, first)).toBe("");
    await node.succeed("DEL", first.call);
    await node.ip("link set uplink down");
    expect(await refusal(node, call)).toMatchObject({ code: 11, msg: expect.stringContaining("is down") as unknown });
    expect([await namesIn(call), node.leases()]).toEqual([["lo"], {}]);
    await node.ip("link set uplink up");
    await node.succeed("ADD", call);
  });

  test("CHECK notices another VLAN, master, MTU, address and link", async () => {
    const { node } = await network();
    const anotherVlan = async ({ pod, ip4 }: Attached): Promise<void> => {
      await pod.ip("link delete eth0");
      await pod.ip("link add other up type veth peer name eth9");
      await pod.ip("link add link other name eth0 up type vlan id 7");
      await pod.ip(`address add ${ip4}/24 dev eth0`);
    };
    const damages: [(attached: Attached) => Promise<unknown>, RegExp][] = [
      [
        anotherVlan,
        /vlanId of link eth0 in the container is 7, not 100.*eth0 in the container is not one of master uplink/,
      ],
      [async ({ pod }) => pod.ip("link set eth0 mtu 1300"), /eth0 in the container has MTU 1300, not 1400/],
      [async ({ pod, ip4 }) => pod.ip(`address del ${ip4}/24 dev eth0`), /address .* is missing/],
      [async ({ pod }) => pod.ip("link delete eth0"), /eth0 does not exist in the container/],
    ];
    for (const [damage, message] of damages) {
      const attached = await attach(node, config(node, "vlan", { mtu: 1400 }));
      await damage(attached);
      expect(await complaint(node, attached)).toMatch(message);
      await attached.pod.remove();
    }
  });
});

describe("ipvlan", () => {
  test("in every mode pods of one master, which have its MAC, reach each other", async () => {
    const { node, outside } = await network();
    const uplink = (await node.link("uplink"))!;
    for (const mode of ["l2", "l3", "l3s"]) {
      const wanted = config(node, "ipvlan", { mode, ipam: dualStack(node) });
      const [one, two] = [await attach(node, wanted), await attach(node, wanted)];
      expect(one.result.interfaces).toEqual([{ name: "eth0", mac: uplink.address, sandbox: one.pod.path }]);
      expect(await linkOf(one)).toMatchObject({ linkinfo: { info_kind: "ipvlan", info_data: { mode } } });
      for (const address of [two.ip4, two.ip6]) expect([address, await one.pod.ping(address)]).toEqual([address, true]);
      // in l2 alone a pod asks, and answers, for addresses on the network itself
      const expected = { [one.ip4]: mode === "l2" };
      expect([mode, await outside.reached(expected)]).toEqual([mode, expected]);
      expect([await complaint(node, one), await complaint(node, two)]).toEqual(["", ""]);
      await node.succeed("DEL", { ...one.call, config: { ...one.call.config, master: undefined } });
      expect(await namesIn(one.call)).toEqual(["lo"]);
      // they share a MAC: DEL of a pod that is gone, with another one's namespace, takes nothing of that one
      const gone = { ...one.call, netns: two.pod, config: { ...one.call.config, prevResult: one.result } };
      await node.succeed("DEL", gone);
      expect(await complaint(node, two)).toBe("");
      await node.succeed("DEL", two.call);
    }
  });

  test("the master is that of the default route, and CHECK and DEL need neither", async () => {
    const { node, outside } = await network();
    const wanted = config(node, "ipvlan", { master: undefined });
    expect((await refusal(node, await callFor(node, wanted))).msg).toMatch(/master is not set.*default route/);
    await node.ip(`route add default via ${outside.address4}`);
    const attached = await attach(node, wanted);
    await node.ip("route del default");
    expect(await complaint(node, attached)).toBe("");
    await node.succeed("DEL", attached.call);
    expect([await namesIn(attached.call), node.leases()]).toEqual([["lo"], {}]);
  });

  test("without ipam it takes the addresses, routes and master of an earlier plugin's result", async () => {
    const { node, outside } = await network();
    const prevResult = {
      cniVersion: "1.1.0",
      interfaces: [{ name: "uplink" }],
      ips: [{ address: "10.9.0.77/24", interface: 0 }],
      routes: [{ dst: "10.66.0.0/16", gw: "10.9.0.254" }],
      dns: { domain: "of.another" },
    };
    const wanted = config(node, "ipvlan", { master: undefined, ipam: undefined });
    const attached = await attach(node, { ...wanted, prevResult });
    expect(attached.result).toMatchObject({
      interfaces: [{ name: "eth0", sandbox: attached.pod.path }],
      ips: [{ address: "10.9.0.77/24", interface: 0 }],
      routes: [{ dst: "10.66.0.0/16", gw: "10.9.0.254" }],
    });
    expect(attached.result.dns ?? {}).toEqual({});
    expect(await outside.ping("10.9.0.77")).toBe(true);
    expect((await node.podwire("STATUS", { plugin: "ipvlan", config: wanted })).exitCode).toBe(0);
    expect(await complaint(node, { ...attached, call: { ...attached.call, config: wanted } })).toBe("");
    await node.succeed("DEL", attached.call);
    expect(await namesIn(attached.call)).toEqual(["lo"]);
    const two = { ...prevResult, interfaces: [{ name: "uplink" }, { name: "lo" }] };
    expect((await refusal(node, await callFor(node, { ...wanted, prevResult: two }))).msg).toMatch(/2 interfaces/);
    expect((await refusal(node, await callFor(node, wanted))).msg).toMatch(/ipam\.type/);
    // a master that is down is none's hindrance; where both give addresses, IPAM does
    await node.ip("link set uplink down");
    const both = await attach(node, { ...wanted, ipam: hostLocal(node), prevResult });
    expect([both.ip4, both.result.routes ?? []]).toEqual(["10.9.0.2", []]);
    await node.ip("link set uplink up");
    expect(await outside.ping(both.ip4)).toBe(true);
    expect(await both.pod.sysctl("net/ipv4/conf/eth0/arp_notify")).toBe("1");
  });

  test("linkInContainer: as a vlan, of a link the pod has", async () => {
    const node = await Node.create();
    const [pod, outer] = [await node.pod(), await node.pod()];
    await pod.ip(`link add inner up type veth peer name eth0 netns ${outer.name}`);
    await outer.ip("link set eth0 up");
    await outer.ip("address add 10.9.0.253/24 dev eth0");
    await outer.ip("link add link eth0 name eth0.100 up type vlan id 100");
    await outer.ip("address add 10.8.0.253/24 dev eth0.100");
    for (const type of ["ipvlan", "vlan"]) {
      const inside = config(node, type, { master: "inner", linkInContainer: true });
      const attached = await attach(node, inside, { netns: pod });
      expect(await outer.ping(attached.ip4)).toBe(true);
      expect(await complaint(node, attached)).toBe("");
      await node.succeed("DEL", attached.call);
      expect(await namesIn(attached.call)).toEqual(["lo", "inner"]);
    }
  });

  test("refuses what cannot be, naming it, and leaves nothing; CHECK notices another mode", async () => {
    const { node } = await network();
    const first = await attach(node, config(node, "ipvlan"));
    for (const [more, msg] of [
      [{ mode: "L2" }, /mode is "L2", must be "l2" or "l3" or "l3s"/],
      [{ master: "lo", ipam: hostLocal(node) }, /master: link "lo" cannot carry a ipvlan/],
      [{ mtu: 9000 }, /mtu is 9000, must be at most 1500/],
      [
        { ipam: hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "10.7.0.0/16", gw: "10.6.0.1" }] }) },
        /gateway/,
      ],
    ] as const) {
      const call = await callFor(node, config(node, "ipvlan", more));
      const leases = node.leases();
      expect((await refusal(node, call)).msg).toMatch(msg);
      expect([await namesIn(call), node.leases()]).toEqual([["lo"], leases]);
    }
    const macvlan = await callFor(node, config(node, "macvlan"));
    expect((await refusal(node, macvlan)).msg).toMatch(/either macvlan or ipvlan/);
    expect(await complaint(node, first)).toBe("");
    await attach(node, config(node, "ipvlan", { mode: "l3s" }));
    expect(await complaint(node, first)).toMatch(/mode of link eth0 in the container is l3s, not l2/);
  });
});

describe("dummy", () => {
  test("carries addresses of both families, which the pod itself answers at", async () => {
    const node = await Node.create();
    const attached = await attach(
      node,
      config(node, "dummy", {
        ipam: dualStack(node, { routes: [{ dst: "10.77.0.0/16", gw: "10.9.0.1" }] }),
        mtu: 9000,
        mac: "02:00:00:00:00:99",
        dns: { domain: "x" },
      }),
    );
    expect(await linkOf(attached)).toMatchObject({
      mtu: 1500,
      address: attached.mac,
      linkinfo: { info_kind: "dummy" },
    });
    await attached.pod.ip("link set lo up");
    for (const address of [attached.ip4, attached.ip6]) expect(await attached.pod.ping(address)).toBe(true);
    expect(attached.mac).not.toBe("02:00:00:00:00:99");
    expect(attached.result.dns ?? {}).toEqual({});
    expect(await complaint(node, attached)).toBe("");
    await attached.pod.ip("route del 10.77.0.0/16");
    expect(await complaint(node, attached)).toMatch(/route 10\.77\.0\.0\/16 .* is missing/);
    await attached.pod.ip("link set eth0 down");
    expect(await complaint(node, attached)).toMatch(/eth0 in the container is down/);
    await node.succeed("DEL", attached.call);
    expect([await namesIn(attached.call), node.leases()]).toEqual([["lo"], {}]);
    expect((await refusal(node, await callFor(node, config(node, "dummy", { ipam: undefined })))).msg).toMatch(/ipam/);
  });
});

describe.each(["vlan", "ipvlan", "dummy"])("DEL of %s with little left", (type) => {
  test("it succeeds, twice, and gives the address back", async () => {
    const { node } = await network();
    const given = config(node, type, { mtu: 1500 });
    const damages: [string, (attached: Attached) => Promise<unknown>, object?][] = [
      ["the namespace is gone", async ({ pod }) => pod.remove()],
      ["CNI_NETNS is empty", async () => undefined, { netns: "" }],
      ["the link is gone", async ({ pod }) => pod.ip("link delete eth0")],
      ["the master has a smaller MTU now", async () => node.ip("link set uplink mtu 1280")],
      ["the master is gone", async () => node.ip("link delete uplink")],
    ];
    for (const [what, damage, more] of damages) {
      const attached = await attach(node, given);
      await damage(attached);
      for (const keys of [{}, { master: undefined, linkInContainer: true }]) {
        const answer = await node.podwire("DEL", { ...attached.call, ...more, config: { ...given, ...keys } });
        expect([what, answer.exitCode, answer.stdout]).toEqual([what, 0, ""]);
      }
      expect([what, node.leases()]).toEqual([what, {}]);
      if (what !== "the namespace is gone") expect([what, await namesIn(attached.call)]).toEqual([what, ["lo"]]);
      if (what.includes("MTU")) await node.ip("link set uplink mtu 1500");
    }
  });
});

describe("vlan, ipvlan and dummy", () => {
  test("an IPAM that gives no address is refused, as by the reference, asked to DEL, and nothing is left", async () => {
    const { node } = await network();
    const log = `${node.dataDir}/verbs`;
    const answer = `case $CNI_COMMAND in ADD) echo '{"cniVersion":"1.0.0"}';; esac`;
    const path = programs({ empty: `echo "$CNI_COMMAND" >> ${log}; ${answer}` });
    for (const type of ["vlan", "ipvlan", "dummy"]) {
      const call = await callFor(node, config(node, type, { ipam: { type: "empty" } }), { path });
      const before = await node.snapshot();
      expect((await refusal(node, call)).msg).toMatch(/IPAM plugin empty returned no IP addresses/);
      expect([readFileSync(log, "utf8"), await namesIn(call)]).toEqual(["ADD\nDEL\n", ["lo"]]);
      expect(await node.snapshot()).toEqual(before);
      if (reference.newest) {
        const pod = await node.pod();
        expect((await node.reference("ADD", { ...call, netns: pod })).error?.msg).toMatch(/missing IP config/);
        await pod.remove();
      }
      rmSync(log);
    }
  });

  test("STATUS asks IPAM, and needs no master", async () => {
    const node = await Node.create();
    for (const type of ["vlan", "ipvlan", "dummy"]) {
      const status = async (more: object) => node.podwire("STATUS", { plugin: type, config: config(node, type, more) });
      expect((await status({ ...(type !== "dummy" && { master: "gone" }) })).stdout).toBe("");
      const nowhere = hostLocal(node, { subnet: "10.9.0.0/24", dataDir: "/dev/null/x" });
      expect(failure(await status({ ipam: nowhere })).code).toBe(50);
      // an ipvlan may have prevResult's addresses
      if (type !== "ipvlan") expect(failure(await status({ ipam: {} })).msg).toMatch(/ipam\.type/);
    }
  });

  test("GC removes those of attachments that are not valid, and no other", async () => {
    const { node } = await network();
    for (const type of ["vlan", "ipvlan", "dummy"]) {
      const of = (more: object = {}) => config(node, type, { name: type, ...more });
      const [gone, kept] = [await attach(node, of()), await attach(node, of(type === "vlan" ? { vlanId: 101 } : {}))];
      const valid = [{ containerID: kept.call.containerId, ifname: "eth0" }];
      await node.succeed("GC", { plugin: type, config: of({ "cni.dev/valid-attachments": valid }) });
      expect([await namesIn(gone.call), await namesIn(kept.call)]).toEqual([["lo"], ["lo", "eth0"]]);
      expect(Object.keys(node.leases())).toEqual([`${type}/${kept.ip4}`]);
      await node.succeed("DEL", kept.call);
    }
  });
});

import { describe, expect, test } from "vitest";
import { attach, callFor, complaint, dualStack, hostLocal, linkOf, namesIn, refusal } from "../executable/configs.ts";
import { Node } from "../executable/harness.ts";

import { vlanNetwork, config } from "./pod-links.ts";

// What is the same for ipvlan as for macvlan is tested in test/executable/macvlan.test.ts and macvlan-verbs.test.ts.

describe("ipvlan", () => {
  test("in every mode pods of one master, which have its MAC, reach each other", async () => {
    const { node, outside } = await vlanNetwork();
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
    const { node, outside } = await vlanNetwork();
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
    const { node, outside } = await vlanNetwork();
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
    const { node } = await vlanNetwork();
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

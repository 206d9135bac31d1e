import { readFileSync, rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  callFor,
  complaint,
  dualStack,
  failure,
  hostLocal,
  linkOf,
  namesIn,
  programs,
  refusal,
} from "../executable/configs.ts";
import { Node, reference } from "../executable/harness.ts";

import { vlanNetwork, config } from "./pod-links.ts";

// vlan, dummy and what is the same for ipvlan; what is the same for them as for macvlan:
// test/executable/macvlan*.test.ts.

describe("vlan", () => {
  test("is on the master's network with the tag of its VLAN, and on no other VLAN of it", async () => {
    const { node, outside } = await vlanNetwork();
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
    const { node } = await vlanNetwork();
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
    const { node } = await vlanNetwork();
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
    const { node } = await vlanNetwork();
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
      await attached.pod.vanish();
    }
  });
});

test.each([
  // what the link has when the master's is 1400 by then; and when it is 1500 again, what CHECK says
  ["vlan", 1400, /MTU 1400, not 1500/],
  ["ipvlan", 1400, /^$/],
] as const)("CHECK of %s without mtu knows what its master had, or has", async (type, lowered, after) => {
  const { node } = await vlanNetwork();
  for (const master of ["uplink", ...(type === "ipvlan" ? [undefined] : [])]) {
    await node.ip("route replace default via 192.0.2.2");
    const attached = await attach(node, config(node, type, { master }));
    await attached.pod.ip("link set eth0 mtu 1300");
    expect(await complaint(node, attached)).toMatch(/link eth0 in the container has MTU 1300, not 1500/);
    await attached.pod.ip("link set eth0 mtu 1500");
    expect(await complaint(node, attached)).toBe("");
    await node.ip("link set uplink mtu 1400");
    expect([(await linkOf(attached)).mtu, await complaint(node, attached)]).toEqual([lowered, ""]);
    await node.ip("link set uplink mtu 1500");
    expect(await complaint(node, attached)).toMatch(after);
    await node.succeed("DEL", attached.call);
  }
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
    const { node } = await vlanNetwork();
    const given = config(node, type, { mtu: 1500 });
    const damages: [string, (attached: Attached) => Promise<unknown>, object?][] = [
      ["the namespace is gone", async ({ pod }) => pod.vanish()],
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
    const { node } = await vlanNetwork();
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
    const { node } = await vlanNetwork();
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

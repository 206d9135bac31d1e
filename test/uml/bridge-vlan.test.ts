import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, complaint, failure, hostLocal, refusal } from "../executable/configs.ts";
import { type CniResult, type Namespace, Node, reference } from "../executable/harness.ts";
import { vlans, vlan, everything, hears, vlanPort } from "./bridge-vlans.ts";

describe("bridge: VLANs", () => {
  test("a pod reaches those of its VLAN and its gateway there, and nobody else", async () => {
    const node = await Node.create();
    const config = bridge(node, { vlan: 100, isGateway: true });
    const [one, two] = [await attach(node, config), await attach(node, config)];
    const other = await attach(node, { ...config, vlan: 200, isGateway: false });
    const untagged = await attach(node, { ...config, vlan: 0, isGateway: false });
    expect(one.result.interfaces?.[3]).toMatchObject({ name: "br0.100", mtu: 1500 });
    expect(await node.addresses("br0.100")).toEqual(["10.9.0.1/24"]);
    const expected = { [two.ip4]: true, "10.9.0.1": true, [other.ip4]: false, [untagged.ip4]: false };
    expect(await one.pod.reached(expected)).toEqual(expected);
    expect(await Promise.all([one, two, other, untagged].map(async (each) => complaint(node, each)))).toEqual(
      Array(4).fill(""),
    );
  });

  test("a trunk brings its VLANs tagged, and no other; it is in VLAN 1 untagged", async () => {
    const node = await Node.create();
    const trunk = await attach(node, bridge(node, { vlanTrunk: [{ id: 300 }, { minID: 20, maxID: 22 }, { id: 21 }] }));
    expect(await vlans(node, trunk.hostVeth)).toEqual(["1 PVID Egress Untagged", "20-22", "300"]);
    const [in21, in23] = [
      await attach(node, bridge(node, { vlan: 21 })),
      await attach(node, bridge(node, { vlan: 23 })),
    ];
    const untagged = await attach(node, bridge(node));
    for (const [id, address] of [
      [21, "10.9.0.101"],
      [23, "10.9.0.103"],
    ] as const) {
      await trunk.pod.ip(`link add link eth0 name eth0.${id} up type vlan id ${id}`);
      await trunk.pod.ip(`address add ${address}/32 dev eth0.${id}`);
    }
    await trunk.pod.ip(`route add ${in21.ip4} dev eth0.21`);
    await trunk.pod.ip(`route add ${in23.ip4} dev eth0.23`);
    // what arrives on eth0.21 had the tag of VLAN 21
    const expected = { [in21.ip4]: true, [in23.ip4]: false, [untagged.ip4]: true };
    expect(await trunk.pod.reached(expected)).toEqual(expected);
    expect(await complaint(node, trunk)).toBe("");
  });

  test("a trunk of all VLANs there are is made, compared and removed", async () => {
    const node = await Node.create();
    const all = [{ minID: 1, maxID: 4094 }];
    const trunk = await attach(node, bridge(node, { vlan: 100, vlanTrunk: all }));
    expect(await vlans(node, trunk.hostVeth)).toEqual(["1-99", "100 PVID Egress Untagged", "101-4094"]);
    expect(await complaint(node, trunk)).toBe("");
    await vlan(node, `del vid 2000-2003 dev ${trunk.hostVeth}`);
    expect(await complaint(node, trunk)).toMatch(/is not in VLAN 2000-2003$/);
    await node.succeed("DEL", trunk.call);
    expect(await node.link(trunk.hostVeth)).toBeUndefined();
  });

  test("every other VLAN of a trunk is one message, too", async () => {
    const node = await Node.create();
    const odd = Array.from({ length: 2047 }, (_, at) => ({ id: 2 * at + 1 }));
    const trunk = await attach(node, bridge(node, { vlan: 100, vlanTrunk: odd }));
    expect(await vlans(node, trunk.hostVeth)).toHaveLength(2048);
    expect(await complaint(node, trunk)).toBe("");
  });

  test("preserveDefaultVlan leaves the pod in the default VLAN, which it then hears", async () => {
    const node = await Node.create();
    const config = bridge(node, { vlan: 100 });
    const [kept, left] = [await attach(node, { ...config, preserveDefaultVlan: true }), await attach(node, config)];
    const untagged = await attach(node, bridge(node));
    expect(await vlans(node, kept.hostVeth)).toEqual(["1 Egress Untagged", "100 PVID Egress Untagged"]);
    expect(await vlans(node, left.hostVeth)).toEqual(["100 PVID Egress Untagged"]);
    expect([await hears(kept, untagged), await hears(left, untagged)]).toEqual([true, false]);
    expect([await complaint(node, kept), await complaint(node, left)]).toEqual(["", ""]);
  });

  test("without addresses, with macspoofchk: layer 2 alone, in its VLAN", async () => {
    const node = await Node.create();
    const config = { ...bridge(node, { vlan: 100, macspoofchk: true }), ipam: {} };
    const [one, two] = [await attach(node, config), await attach(node, { ...config, vlan: 200 })];
    const three = await attach(node, config);
    for (const [at, { pod }] of [one, two, three].entries()) await pod.ip(`address add 10.8.0.${at + 1}/24 dev eth0`);
    const expected = { "10.8.0.2": false, "10.8.0.3": true };
    expect(await one.pod.reached(expected)).toEqual(expected);
    expect(await complaint(node, one)).toBe("");
  });

  test("two networks with other trunks share a gateway in one VLAN, and neither complains", async () => {
    const node = await Node.create();
    const config = bridge(node, { vlan: 100, isGateway: true });
    const plain = await attach(node, config);
    const trunk = await attach(node, { ...config, vlanTrunk: [{ id: 20 }], preserveDefaultVlan: true });
    expect(await vlans(node, await vlanPort(node))).toEqual(["100 PVID Egress Untagged"]);
    expect([await complaint(node, plain), await complaint(node, trunk)]).toEqual(["", ""]);
  });
});

describe("bridge: the VLAN interface", () => {
  const config = (node: Node): ReturnType<typeof bridge> => bridge(node, { vlan: 100, isGateway: true });

  test.each<[string, (node: Node, port: string) => Promise<unknown>]>([
    [
      "that an ADD left when it was killed: in no VLAN, down",
      async (node, port) => {
        await vlan(node, `del vid 100 dev ${port}`);
        await node.ip(`link set ${port} down`);
        await node.ip("link set br0.100 down");
      },
    ],
    ["of a bridge that was made anew", async (node) => node.ip("link delete br0")],
  ])("%s serves the next pod", async (_what, damage) => {
    const node = await Node.create();
    await node.succeed("DEL", (await attach(node, config(node))).call);
    await damage(node, await vlanPort(node));
    const next = await attach(node, config(node));
    expect(await next.pod.ping("10.9.0.1")).toBe(true);
    expect(await complaint(node, next)).toBe("");
  });

  test("that is an administrator's own is used as it is", async () => {
    const node = await Node.create();
    await node.succeed("DEL", (await attach(node, bridge(node, { vlan: 100 }))).call);
    await vlan(node, "add vid 100 dev br0 self");
    await node.ip("link add link br0 name br0.100 up type vlan id 100");
    const before = await node.link("br0.100");
    const attached = await attach(node, config(node));
    expect(await attached.pod.ping("10.9.0.1")).toBe(true);
    expect(await complaint(node, attached)).toBe("");
    expect(await node.link("br0.100")).toMatchObject({ ifindex: before!.ifindex, linkinfo: { info_kind: "vlan" } });
  });

  test("stays when the last pod goes; DEL needs no namespace", async () => {
    const node = await Node.create();
    const first = await attach(node, config(node));
    await node.succeed("DEL", first.call);
    const before = await everything(node);
    const second = await attach(node, config(node));
    await second.pod.remove();
    await node.succeed("DEL", second.call);
    expect(await everything(node)).toEqual(before);
    expect(await node.addresses("br0.100")).toEqual(["10.9.0.1/24"]);
  });
});

describe("bridge, VLANs: what fails, and who else made it", () => {
  test("a failed ADD leaves VLANs, bridge and VLAN interface as they were", async () => {
    const node = await Node.create();
    const config = bridge(node, { vlan: 100, isGateway: true, vlanTrunk: [{ id: 20 }] });
    await attach(node, config);
    const before = await everything(node);
    const unreachable = hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "10.77.0.0/16", gw: "10.66.0.1" }] });
    expect((await refusal(node, await callFor(node, { ...config, ipam: unreachable }))).msg).toMatch(/gateway/);
    expect(await everything(node)).toEqual(before);
  });

  test.each<{ vlan?: number; vlanTrunk?: object[]; isGateway?: boolean; preserveDefaultVlan?: boolean }>([
    { vlan: 100 },
    { vlan: 100, isGateway: true },
    { vlan: 100, vlanTrunk: [{ id: 20 }], isGateway: true },
    { vlan: 4094, preserveDefaultVlan: true },
    { vlanTrunk: [] },
    { vlanTrunk: [{ id: 300 }, { minID: 20, maxID: 22 }] },
    { vlan: 23, vlanTrunk: [{ minID: 20, maxID: 22 }], preserveDefaultVlan: true },
  ])("the reference's pods have the VLANs podwire's have: %j", async (keys) => {
    const [ours, theirs] = [await Node.create(), await Node.create()];
    const cniVersion = reference.newest ? "1.1.0" : "1.0.0";
    const one = await attach(ours, bridge(ours, { cniVersion, ...keys }));
    const config = bridge(theirs, { cniVersion, ...keys });
    const call = await callFor(theirs, config);
    const added = await theirs.reference("ADD", call);
    expect(added).toMatchObject({ exitCode: 0 });
    const { interfaces } = added.result as CniResult;
    const port = interfaces![1]!.name;
    // Debian's older one knows neither trunks nor that the default VLAN may be left
    if (reference.newest) expect(await vlans(theirs, port)).toEqual(await vlans(ours, one.hostVeth));
    if (reference.newest && keys.isGateway) {
      const [, gateway] = / br0\.100@(\w+):/.exec(await theirs.ip("link show dev br0.100"))!;
      expect(await vlans(theirs, gateway!)).toEqual(await vlans(ours, await vlanPort(ours)));
    }
    expect(interfaces!.map(({ name }) => name.replace(/^veth.*/, "veth"))).toEqual(
      one.result.interfaces!.map(({ name }) => name.replace(/^veth.*/, "veth")),
    );
    const check = { ...call, config: { ...config, prevResult: added.result } };
    expect((await theirs.podwire("CHECK", check)).stdout).toBe("");
    if (reference.newest && keys.vlanTrunk?.length !== 0) {
      await vlan(theirs, `add vid 999 dev ${port}`);
      expect(failure(await theirs.podwire("CHECK", check)).msg).toMatch(/VLAN 999 as well/);
    }
    await theirs.succeed("DEL", call);
    expect(await (call.netns as Namespace).link("eth0")).toBeUndefined();
  });
});

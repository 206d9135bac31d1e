import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  bridge,
  callFor,
  complaint,
  failure,
  hostLocal,
  refusal,
} from "../executable/configs.ts";
import { type CniResult, type Namespace, Node, reference } from "../executable/harness.ts";

/** The VLANs of a link as `bridge vlan` lists them, ranges joined: "20-22", "100 PVID Egress Untagged". */
async function vlans(node: Node, link: string): Promise<string[]> {
  const text = await node.must("bridge", "-j", "-compressvlans", "vlan", "show", "dev", link);
  const [port] = JSON.parse(text || "[]") as { vlans: { vlan: number; vlanEnd?: number; flags?: string[] }[] }[];
  return (port?.vlans ?? []).map(({ vlan, vlanEnd, flags = [] }) =>
    [vlanEnd ? `${vlan}-${vlanEnd}` : vlan, ...flags].join(" "),
  );
}

const vlan = async (node: Node, line: string): Promise<string> => node.must("bridge", "vlan", ...line.split(" "));

/** Everything of the node, VLANs of its links included. */
const everything = async (node: Node): Promise<object> => ({
  ...(await node.snapshot()),
  vlans: await node.must("bridge", "vlan", "show"),
});

/** True when a broadcast of `from` to the address of `to` arrives there: who asks for it is in its table of neighbours. */
async function hears(to: Attached, from: Attached): Promise<boolean> {
  await from.pod.ping(to.ip4, { timeoutS: 1 });
  const neighbours = await to.pod.ipJson<{ dst: string; lladdr?: string }[]>("neigh show dev eth0");
  return neighbours.some(({ dst, lladdr }) => dst === from.ip4 && lladdr === from.mac);
}

/** The port of the bridge that the VLAN interface br0.100 is the other end of. */
const vlanPort = async (node: Node): Promise<string> =>
  (await node.links()).find(({ ifalias }) => ifalias === "podwire: VLAN port of br0.100")!.ifname;

describe("bridge: VLANs", () => {
  test("a pod reaches those of its VLAN and its gateway there, and nobody else", async () => {
    const node = await Node.create();
    const config = bridge(node, { vlan: 100, isGateway: true });
    const [one, two] = [await attach(node, config), await attach(node, config)];
    const other = await attach(node, { ...config, vlan: 200, isGateway: false });
    const untagged = await attach(node, { ...config, vlan: 0, isGateway: false });
    expect(one.result.interfaces?.[3]).toMatchObject({ name: "br0.100", mtu: 1500 });
    expect(await node.addresses("br0.100")).toEqual(["10.9.0.1/24"]);
    const reached = await Promise.all(
      [two.ip4, "10.9.0.1", other.ip4, untagged.ip4].map(async (ip) => one.pod.ping(ip, { timeoutS: 1 })),
    );
    expect(reached).toEqual([true, true, false, false]);
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
    const reached = [in21, in23, untagged].map(async ({ ip4 }) => trunk.pod.ping(ip4, { timeoutS: 1 }));
    expect(await Promise.all(reached)).toEqual([true, false, true]);
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
    const reached = ["10.8.0.2", "10.8.0.3"].map(async (ip) => one.pod.ping(ip, { timeoutS: 1 }));
    expect(await Promise.all(reached)).toEqual([false, true]);
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

/** What is done by hand, and what CHECK must say then. */
type Damage = [string, (node: Node, attached: Attached) => Promise<unknown>, RegExp];

/** To a live attachment of VLAN 100 with the trunk 20 to 30. */
const damagesOfPort: Damage[] = [
  [
    "its VLAN, deleted",
    async (node, { hostVeth }) => vlan(node, `del vid 100 dev ${hostVeth}`),
    /bridge port veth\w+ is not in VLAN 100$/,
  ],
  [
    "its VLAN, another one",
    async (node, { hostVeth }) => {
      await vlan(node, `del vid 100 dev ${hostVeth}`);
      await vlan(node, `add vid 200 dev ${hostVeth} pvid untagged`);
    },
    /bridge port veth\w+ is not in VLAN 100; bridge port veth\w+ is in VLAN 200 as well$/,
  ],
  [
    "the PVID",
    async (node, { hostVeth }) => vlan(node, `add vid 25 dev ${hostVeth} pvid`),
    /VLAN 25 of bridge port veth\w+ is PVID, not tagged; VLAN 100 .* is Egress Untagged, not PVID Egress Untagged$/,
  ],
  [
    "its VLAN, tagged on the way out",
    async (node, { hostVeth }) => vlan(node, `add vid 100 dev ${hostVeth} pvid`),
    /VLAN 100 of bridge port veth\w+ is PVID, not PVID Egress Untagged$/,
  ],
  [
    "a tagged one, untagged",
    async (node, { hostVeth }) => vlan(node, `add vid 21 dev ${hostVeth} untagged`),
    /VLAN 21 of bridge port veth\w+ is Egress Untagged, not tagged$/,
  ],
  [
    "the trunk, shorter",
    async (node, { hostVeth }) => vlan(node, `del vid 28-30 dev ${hostVeth}`),
    /bridge port veth\w+ is not in VLAN 28-30$/,
  ],
  [
    "the trunk, longer",
    async (node, { hostVeth }) => vlan(node, `add vid 31 dev ${hostVeth}`),
    /bridge port veth\w+ is in VLAN 31 as well$/,
  ],
  [
    "the default VLAN, back",
    async (node, { hostVeth }) => vlan(node, `add vid 1 dev ${hostVeth} untagged`),
    /bridge port veth\w+ is in VLAN 1 as well$/,
  ],
  ["the pod's MTU", async (_node, { pod }) => pod.ip("link set eth0 mtu 1300"), /eth0 .* has MTU 1300, not 1400$/],
  [
    "the host's MTU",
    async (node, { hostVeth }) => node.ip(`link set ${hostVeth} mtu 1300`),
    /on the host has MTU 1300, not 1400$/,
  ],
];
/** To what it shares with others. */
const damages: Damage[] = [
  [
    "the bridge: VLAN filtering",
    async (node) => node.ip("link set br0 type bridge vlan_filtering 0"),
    /bridge br0 does not filter VLANs$/,
  ],
  [
    "the VLAN interface, deleted",
    async (node) => node.ip("link delete br0.100"),
    /VLAN interface br0\.100 does not exist$/,
  ],
  ["the VLAN interface: down", async (node) => node.ip("link set br0.100 down"), /VLAN interface br0\.100 is down/],
  [
    "the VLAN interface: its MTU",
    async (node) => node.ip("link set br0.100 mtu 1300"),
    /VLAN interface br0\.100 has MTU 1300, not 1400$/,
  ],
  [
    "the VLAN interface: its address",
    async (node) => node.ip("address del 10.9.0.1/24 dev br0.100"),
    /address 10\.9\.0\.1\/24 is missing on br0\.100$/,
  ],
  [
    "the VLAN interface: its port's VLAN",
    async (node) => vlan(node, `del vid 100 dev ${await vlanPort(node)}`),
    /bridge port veth\w+ is not in VLAN 100$/,
  ],
  [
    "the VLAN interface: its port, unplugged",
    async (node) => node.ip(`link set ${await vlanPort(node)} nomaster`),
    /link veth\w+ is not a port of bridge br0/,
  ],
  [
    "the VLAN interface: its port, down",
    async (node) => node.ip(`link set ${await vlanPort(node)} down`),
    /bridge port veth\w+ of VLAN interface br0\.100 is down$/,
  ],
];

describe("bridge CHECK, VLANs", () => {
  const trunk = [{ minID: 20, maxID: 30 }];
  const config = (node: Node): ReturnType<typeof bridge> =>
    bridge(node, { vlan: 100, vlanTrunk: trunk, isGateway: true, mtu: 1400 });

  test.each(damages)("notices a change of %s", async (_what, damage, message) => {
    const node = await Node.create();
    const attached = await attach(node, config(node));
    await damage(node, attached);
    expect(await complaint(node, attached)).toMatch(message);
  });

  test("notices what is changed of one pod's port alone", async () => {
    const node = await Node.create();
    const neighbour = await attach(node, config(node));
    for (const [what, damage, message] of damagesOfPort) {
      const attached = await attach(node, config(node));
      await damage(node, attached);
      expect([what, await complaint(node, attached)]).toEqual([what, expect.stringMatching(message)]);
    }
    expect(await complaint(node, neighbour)).toBe("");
  });

  test("leaves a default VLAN that was to be kept, of whatever number, and no other", async () => {
    const node = await Node.create();
    await node.ip("link add br0 type bridge vlan_filtering 1 vlan_default_pvid 7");
    const attached = await attach(node, bridge(node, { vlan: 100, preserveDefaultVlan: true }));
    expect(await vlans(node, attached.hostVeth)).toEqual(["7 Egress Untagged", "100 PVID Egress Untagged"]);
    expect(await complaint(node, attached)).toBe("");
    await vlan(node, `add vid 8 dev ${attached.hostVeth}`);
    expect(await complaint(node, attached)).toMatch(/is in VLAN 8 as well$/);
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

import { describe, expect, test } from "vitest";
import { attach, type Attached, bridge, complaint } from "../executable/configs.ts";
import { Node } from "../executable/harness.ts";
import { vlans, vlan, vlanPort } from "./bridge-vlans.ts";

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

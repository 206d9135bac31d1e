import { expect, test } from "vitest";
import { guestBehind } from "../executable/guest.ts";
import { type Namespace, type NetworkList, Node, type Outside, runList } from "../executable/harness.ts";

// Kubevirt's machines on a bridge of the node's administrator, whose uplink carries the VLANs with their tags. The same
// without VLANs, beside the cluster's network, is test/runtime/kubevirt.test.ts.

const inVlan = (vlan: number): NetworkList => ({
  cniVersion: "1.0.0",
  name: `vlan${vlan}`,
  plugins: [
    {
      type: "bridge",
      bridge: "br1",
      vlan,
      macspoofchk: true,
      preserveDefaultVlan: false,
      capabilities: { mac: true },
      ipam: {},
    },
  ],
});

/**
 * A node with the bridge br1; the machine outside has an interface in VLAN 100, which takes in nothing but what has the
 * tag.
 */
async function trunked(): Promise<{ node: Node; outside: Outside }> {
  const node = await Node.create();
  const outside = await node.outside();
  await node.ip("link add br1 up type bridge vlan_filtering 1");
  await node.ip("link set uplink master br1");
  for (const vid of [100, 200]) await node.must("bridge", "vlan", "add", "dev", "uplink", "vid", `${vid}`);
  await outside.ip("link add link eth0 name eth0.100 up type vlan id 100");
  await outside.ip("address add 10.8.0.254/24 dev eth0.100");
  return { node, outside };
}

const state = async (node: Node): Promise<object> => ({
  ...(await node.snapshot()),
  vlans: await node.must("bridge", "vlan", "show"),
});

test("machines of kubevirt's, each in its VLAN, send with the MAC they were given alone, and leave nothing", async () => {
  const { node, outside } = await trunked();
  const run = node.podwire.bind(node);
  const done = { exitCode: 0, stdout: "", stderr: "" };
  const pod = async (count: number, vlan: number) => {
    const mac = `02:00:00:00:01:0${count}`;
    const netns = await node.pod();
    const to = { containerId: `virt-launcher-${count}`, netns, ifname: "net1", capabilities: { mac } };
    const { result } = await runList(run, "ADD", inVlan(vlan), to);
    expect(result).toMatchObject({ interfaces: [{ name: "br1" }, {}, { name: "net1", mac }] });
    const verb = async (which: "CHECK" | "DEL") =>
      expect(await runList(run, which, inVlan(vlan), { ...to, result: result! })).toMatchObject(done);
    await verb("CHECK");
    return { netns, mac, remove: async () => verb("DEL") };
  };
  const machine = async (count: number, vlan: number) => {
    const { netns, mac, remove } = await pod(count, vlan);
    return { guest: await guestBehind(node, netns, { port: "net1", mac, address: `10.8.0.${count}` }), remove };
  };
  const expectReached = async (from: Namespace, expected: Record<string, boolean>): Promise<void> =>
    expect(await from.reached(expected)).toEqual(expected);

  await (await pod(9, 100)).remove(); // podwire's tables stay
  const before = await state(node);
  const one = await machine(1, 100);
  const two = await machine(2, 100);
  const other = await machine(3, 200);
  await expectReached(one.guest, { "10.8.0.2": true, "10.8.0.254": true, "10.8.0.3": false });
  await expectReached(other.guest, { "10.8.0.254": false });

  await two.guest.ip("link set eth0 address 02:00:00:00:09:09");
  await expectReached(two.guest, { "10.8.0.1": false, "10.8.0.254": false });
  await two.guest.ip("link set eth0 address 02:00:00:00:01:02");
  await expectReached(two.guest, { "10.8.0.1": true, "10.8.0.254": true });

  await two.remove();
  expect(await outside.ping("10.8.0.1")).toBe(true);
  await one.remove();
  await other.remove();
  expect(await state(node)).toEqual(before);
});

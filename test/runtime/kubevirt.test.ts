import { describe, expect, test } from "vitest";
import { guestBehind } from "../executable/guest.ts";
import { type NetworkList, Node, runList } from "./harness.ts";

/** The cluster's network. */
const cluster = (node: Node): NetworkList => ({
  cniVersion: "1.0.0",
  name: "cluster",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isDefaultGateway: true,
      hairpinMode: true,
      ipMasq: true,
      ipam: { type: "host-local", dataDir: node.dataDir, ranges: [[{ subnet: "10.50.0.0/24" }]] },
    },
  ],
});

/** kubevirt's: layer 2 alone for the virtual machine, whose MAC is the interface's. */
const kubevirt: NetworkList = {
  cniVersion: "0.3.1",
  name: "br1-net",
  plugins: [{ type: "bridge", bridge: "br1", macspoofchk: true, capabilities: { mac: true }, ipam: {} }],
};

const done = { exitCode: 0, stdout: "", stderr: "" };

describe("a virtual machine of kubevirt's", () => {
  let count = 0;
  /** A pod with its two networks, and the machine behind a bridge in it, which has taken the interface's MAC over. */
  async function machine(node: Node, address: string) {
    const netns = await node.pod();
    const mac = `02:00:00:00:01:0${(count += 1)}`;
    const to = { containerId: `virt-launcher-${count}`, netns };
    const run = node.podwire.bind(node);
    const eth0 = await runList(run, "ADD", cluster(node), to);
    const capabilities = { mac };
    const net1 = await runList(run, "ADD", kubevirt, { ...to, ifname: "net1", capabilities });
    expect([eth0.exitCode, net1.exitCode]).toEqual([0, 0]);
    expect(await netns.link("net1")).toMatchObject({ address: mac });
    const guest = await guestBehind(node, netns, { port: "net1", mac, address });
    const remove = async (): Promise<void> => {
      const attached = { ...to, ifname: "net1", capabilities, result: net1.result! };
      expect(await runList(run, "DEL", kubevirt, attached)).toMatchObject(done);
      expect(await runList(run, "DEL", cluster(node), { ...to, result: eth0.result! })).toMatchObject(done);
    };
    return { guest, pod: netns, ip: eth0.result!.ips![0]!.address.replace(/\/.*/, ""), remove };
  }

  test("sends with the MAC it was given, not with another one, and leaves nothing", async () => {
    const node = await Node.create();
    await (await machine(node, "10.8.0.9")).remove();
    const before = await node.snapshot();
    const [one, two] = [await machine(node, "10.8.0.1"), await machine(node, "10.8.0.2")];
    expect([await one.guest.ping("10.8.0.2"), await two.guest.ping("10.8.0.1")]).toEqual([true, true]);
    expect(await one.pod.ping(two.ip)).toBe(true);
    await one.guest.ip("link set eth0 address 02:00:00:00:09:09");
    expect(await one.guest.ping("10.8.0.2", { timeoutS: 1 })).toBe(false);
    await one.remove();
    expect(await node.ping(two.ip)).toBe(true);
    await two.remove();
    expect(await node.snapshot()).toEqual(before);
  });
});

import { rmSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { cacheFolder, Cnitool, cnitoolPath } from "./cnitool.ts";
import { available, type CniResult, Node, type Outside, runList } from "./harness.ts";
import { cluster, kubevirt, macvlan } from "./lists.ts";

// Several networks in one pod, as multus asks for them: one container id, an interface name for each.

const addressOf = (result: CniResult | undefined): string => result!.ips![0]!.address.replace(/\/.*/, "");
const done = { exitCode: 0, stdout: "", stderr: "" };

describe.runIf(available("cnitool", [cnitoolPath]))("libcni, one container id", () => {
  let node: Node;
  let outside: Outside;
  let tool: Cnitool;
  beforeEach(async () => {
    rmSync(cacheFolder, { recursive: true, force: true });
    node = await Node.create();
    outside = await node.outside();
    await outside.ip("address add 198.51.100.1/24 dev eth0");
    tool = new Cnitool(node);
  });

  test("bridge as eth0, macvlan as net1 and, of the same network, net2: each comes and goes by itself", async () => {
    const [first, second] = [cluster(node), { ...macvlan(node), cniVersion: "1.0.0" }];
    tool.network(first);
    tool.network(second);
    const pod = await node.pod();
    const add = async (network: string, ifname: string): Promise<string> => {
      const { result, ...answer } = await tool.run("add", network, pod, { ifname });
      expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
      return addressOf(result);
    };
    const states: object[] = [];
    const seen = async (): Promise<object> => ({ node: await node.snapshot(), pod: await pod.links().then(names) });
    const names = (links: { ifname: string }[]): string[] => links.map(({ ifname }) => ifname);
    const other = await node.pod();
    await tool.run("add", first.name, other, { ifname: "eth0" });
    const order = [
      [first.name, "eth0"],
      [second.name, "net1"],
      [second.name, "net2"],
    ] as const;
    const ips: string[] = [];
    for (const [network, ifname] of order) {
      states.push(await seen());
      ips.push(await add(network, ifname));
    }
    expect(await node.ping(ips[0]!)).toBe(true);
    for (const ip of ips.slice(1)) expect(await outside.ping(ip)).toBe(true);
    expect((await pod.routes()).find(({ dst }) => dst === "default")).toMatchObject({ dev: "eth0" });
    for (const [network, ifname] of order) expect(await tool.run("check", network, pod, { ifname })).toEqual(done);
    // multus removes the last one first
    for (const [network, ifname] of order.toReversed()) {
      expect(await tool.run("del", network, pod, { ifname })).toEqual(done);
      expect(await seen()).toEqual(states.pop());
      for (const [at, [left, name]] of order.slice(0, states.length).entries()) {
        expect(await tool.run("check", left, pod, { ifname: name })).toEqual(done);
        expect(await (at === 0 ? node : outside).ping(ips[at]!)).toBe(true);
      }
    }
  });
});

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
    const guest = await node.pod();
    for (const line of [
      "link add k6t-net1 up type bridge",
      "link set net1 down",
      `link set net1 address 02:00:00:00:02:0${count}`,
      "link set net1 up master k6t-net1",
      `link add tap1 up master k6t-net1 type veth peer name eth0 address ${mac} netns ${guest.name}`,
    ]) {
      await netns.ip(line);
    }
    await guest.ip("link set eth0 up");
    await guest.ip(`address add ${address}/24 dev eth0`);
    const remove = async (): Promise<void> => {
      const attached = { ...to, ifname: "net1", capabilities, result: net1.result! };
      expect(await runList(run, "DEL", kubevirt, attached)).toMatchObject(done);
      expect(await runList(run, "DEL", cluster(node), { ...to, result: eth0.result! })).toMatchObject(done);
    };
    return { guest, pod: netns, ip: addressOf(eth0.result), remove };
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

import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  type Attached,
  callFor,
  complaint,
  describeAttached,
  dualStack,
  hostLocal,
  namesIn,
  v4,
} from "../executable/configs.ts";
import { versions } from "../executable/configs.ts";
import type { Scenario } from "../executable/differential/scenario.ts";
import { resolvConf } from "../executable/differential/scenarios.ts";
import { answers, podwire, setUp, theirs, transcript } from "../executable/differential/transcript.ts";
import { type Namespace, Node, reference } from "../executable/harness.ts";

// What test/executable/differential.test.ts and test/runtime/beside-reference.test.ts do, for the links of this kernel.

const NEWEST = "1.1.0";
const routes = [{ dst: "0.0.0.0/0" }, { dst: "10.200.0.0/16", gw: "10.9.0.7" }];
const dns = { nameservers: ["10.1.0.1"], domain: "example.org" };
const config = (version: string, more: object): Record<string, unknown> => ({
  cniVersion: version,
  name: "differential",
  dns,
  ...more,
});
/** Of both families once: the reference waits for IPv6 addresses. The DNS it says is not the network's. */
const ipam = (node: Node, version: string): object => {
  const more = { routes, resolvConf: resolvConf(node) };
  return version === NEWEST ? dualStack(node, more) : hostLocal(node, { ...v4, ...more });
};
const prepare = async (node: Node): Promise<void> => {
  await node.outside();
  writeFileSync(resolvConf(node), "nameserver 10.1.0.2\n");
};
const between = async (_node: Node, [pod]: Namespace[]): Promise<unknown> => (await pod!.link("eth0"))!.linkinfo;

const scenarios: Scenario[] = [
  {
    name: "ipvlan",
    plugin: "ipvlan",
    prepare,
    between,
    config: (node, version) => config(version, { master: "uplink", mtu: 1400, ipam: ipam(node, version) }),
    once: true,
  },
  {
    name: "vlan",
    plugin: "vlan",
    prepare,
    between,
    config: (node, version) => config(version, { master: "uplink", vlanId: 100, mtu: 1400, ipam: ipam(node, version) }),
    once: true,
  },
  {
    name: "dummy",
    plugin: "dummy",
    prepare,
    between,
    config: (node, version) => config(version, { ipam: ipam(node, version) }),
    once: true,
  },
  {
    name: "vrf",
    plugin: "vrf",
    versions: ["0.3.1", "0.4.0", "1.0.0", NEWEST],
    prepare: async (_node, pods) => {
      const lines = ["link add eth0 type veth peer name far", "link set far up", "address add 10.9.0.2/24 dev eth0"];
      for (const pod of pods) for (const line of lines) await pod.ip(line);
    },
    config: (_node, version) => {
      const ip = { ...(version.startsWith("0.") && { version: "4" }), address: "10.9.0.2/24", interface: 0 };
      const prevResult = { cniVersion: version, interfaces: [{ name: "eth0" }], ips: [ip], routes, dns };
      return config(version, { vrfname: "blue", prevResult });
    },
    once: true,
  },
];

describe.runIf(reference.newest)("beside the reference", () => {
  test.each(scenarios)("$name says the same in every version, and wires the same", async (scenario) => {
    const [ours, other] = [await setUp(scenario), await setUp(scenario)];
    for (const version of scenario.versions ?? versions) {
      const run = version === NEWEST ? transcript : answers;
      const said = await Promise.all([run(podwire, scenario, version, ours), run(theirs, scenario, version, other)]);
      expect([version, said[0]]).toEqual([version, said[1]]);
      expect(said[0]).not.toContainEqual(expect.objectContaining({ failed: true }));
    }
  });

  test.each(["vlan", "ipvlan", "dummy"] as const)(
    "%s goes over to podwire, and back, and over again, with its pods running",
    async (type) => {
      const network = await Network.make(type);
      const { node } = network;
      const before = await node.snapshot();
      const first = await network.add("reference", 100);
      const second = await network.add("podwire", 101);
      await network.works(first, second);
      await network.remove("podwire", first);
      const third = await network.add("reference", 100);
      await network.works(second, third);
      await network.remove("reference", second);
      await node.succeed("DEL", second.call);
      await network.works(third);
      await network.remove("podwire", third);
      expect(await node.snapshot()).toEqual(before);
    },
  );
});

type Maker = "podwire" | "reference";

/** A node with a network of one kind of link, and a machine outside that is in two VLANs of it. */
class Network {
  private constructor(
    readonly node: Node,
    readonly outside: Namespace,
    readonly type: "vlan" | "ipvlan" | "dummy",
  ) {}

  static async make(type: Network["type"]): Promise<Network> {
    const node = await Node.create();
    const outside = await node.outside();
    await outside.ip("address add 10.9.0.254/24 dev eth0");
    for (const id of [100, 101]) await outside.ip(`link add link eth0 name eth0.${id} up type vlan id ${id}`);
    return new Network(node, outside, type);
  }

  async add(by: Maker, vlanId: number): Promise<Attached & { out: string }> {
    const { node, type } = this;
    const keys = { dummy: {}, ipvlan: { master: "uplink" }, vlan: { master: "uplink", vlanId } }[type];
    const call = await callFor(node, { cniVersion: NEWEST, name: "net", type, ipam: hostLocal(node), ...keys });
    const { result, exitCode } = await node[by]("ADD", call);
    expect(exitCode).toBe(0);
    return { ...describeAttached(call, result!), out: type === "vlan" ? `eth0.${vlanId}` : "eth0" };
  }

  /** Whether the machine outside, or for a dummy the pod itself, reaches it. */
  private async isReached({ pod, ip4, out }: Awaited<ReturnType<Network["add"]>>): Promise<boolean> {
    if (this.type === "dummy") await pod.ip("link set lo up");
    else await this.outside.ip(`route replace ${ip4} dev ${out} src 10.9.0.254`);
    return (this.type === "dummy" ? pod : this.outside).ping(ip4);
  }

  /** Both are content with these pods, and packets pass. */
  async works(...pods: Awaited<ReturnType<Network["add"]>>[]): Promise<void> {
    for (const pod of pods) {
      const asked = { ...pod.call, config: { ...pod.call.config, prevResult: pod.result } };
      const said = [await complaint(this.node, pod), (await this.node.reference("CHECK", asked)).stdout];
      expect([pod.ip4, ...said, await this.isReached(pod)]).toEqual([pod.ip4, "", "", true]);
    }
  }

  async remove(by: Maker, { call }: Attached): Promise<void> {
    expect(await this.node[by]("DEL", call)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(await namesIn(call)).toEqual(["lo"]);
  }
}

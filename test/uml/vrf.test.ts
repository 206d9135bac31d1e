import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { environment } from "../harness/invoke.ts";
import { attach, type Attached, bridge, type Config, dualStack, hostLocal } from "../executable/configs.ts";
import {
  type Answer,
  type Call,
  hostState,
  type Namespace,
  Node,
  podwireFolder,
  reference,
} from "../executable/harness.ts";
import { config, vlanNetwork } from "./pod-links.ts";

const routes = [
  { dst: "0.0.0.0/0" },
  { dst: "10.77.0.0/16", gw: "10.9.0.1", priority: 50, mtu: 1400 },
  { dst: "::/0" },
];
const network = (node: Node, more: object = {}) =>
  bridge(node, { isGateway: true, ipam: dualStack(node, { routes }), ...more });

/** The call of vrf that follows an attachment. */
const vrfCall = ({ call, result }: Attached, more: object = {}): Call => ({
  ...call,
  plugin: "vrf",
  config: { cniVersion: "1.1.0", name: "net", type: "vrf", vrfname: "blue", prevResult: result, ...more },
});
const checkOf = async (node: Node, attached: Attached, more: object = {}): Promise<string> => {
  const answer = await node.podwire("CHECK", vrfCall(attached, more));
  return answer.exitCode === 0 ? answer.stdout : answer.error!.msg;
};

/** Routes through eth0 by table, as text; those the kernel makes of every link left out. */
async function routesOf(pod: Namespace): Promise<string[]> {
  const lines = [4, 6].map(async (family) => pod.ip(`-${family} route show table all dev eth0`));
  return (await Promise.all(lines))
    .flatMap((text) => text.split("\n"))
    .filter((line) => line !== "" && !/^(fe80|ff00|multicast|broadcast|local|anycast)/.test(line))
    .map((line) => line.replaceAll(/ (linkdown|pref medium|proto \S+)/g, "").trim())
    .toSorted();
}
const inMain = (lines: string[]): string[] => lines.map((line) => line.replace(/ table \S+/, "")).toSorted();

describe("vrf", () => {
  test("puts the interface and its routes into a table of their own, and takes them out again", async () => {
    const node = await Node.create();
    const attached = await attach(node, network(node));
    const { pod } = attached;
    const before = await routesOf(pod);
    const added = await node.succeed("ADD", vrfCall(attached));
    expect(added.result).toEqual(attached.result);
    expect(await pod.link("blue")).toMatchObject({ linkinfo: { info_kind: "vrf", info_data: { table: 1 } } });
    const moved = await routesOf(pod);
    expect(inMain(moved)).toEqual(before);
    expect(moved.filter((line) => !line.includes("table blue") && !line.includes("table 1"))).toEqual([]);
    // in the pod nothing leads there any more, but through the VRF; from the host it is reached as before
    expect(await pod.ping("10.9.0.1", { timeoutS: 1 })).toBe(false);
    for (const address of ["10.9.0.1", "fd00:9::1"]) {
      expect([address, await pod.ping(address, { args: ["-I", "blue"] })]).toEqual([address, true]);
    }
    for (const address of [attached.ip4, attached.ip6]) {
      expect([address, await node.ping(address)]).toEqual([address, true]);
    }
    expect(await checkOf(node, attached)).toBe("");
    const bridgeCheck = { ...attached.call, config: { ...attached.call.config, prevResult: attached.result } };
    expect((await node.podwire("CHECK", bridgeCheck)).stdout).toBe("");
    for (let times = 0; times < 2; times++) await node.succeed("DEL", vrfCall(attached));
    expect([await routesOf(pod), await pod.link("blue")]).toEqual([before, undefined]);
    for (const address of ["10.9.0.1", "fd00:9::1"]) {
      expect([address, await pod.ping(address)]).toEqual([address, true]);
    }
  });

  test("a VRF is shared, keeps its table, and goes with its last interface; the next one gets a free table", async () => {
    const node = await Node.create();
    const first = await attach(node, network(node));
    const { pod } = first;
    await pod.ip("rule add to 10.1.1.1 lookup 1");
    await pod.ip("route add 10.1.1.2/32 dev eth0 table 2");
    const second = await attach(node, network(node), {
      netns: pod,
      containerId: first.call.containerId!,
      ifname: "eth1",
    });
    const third = await attach(node, network(node), {
      netns: pod,
      containerId: first.call.containerId!,
      ifname: "eth2",
    });
    await node.succeed("ADD", vrfCall(first));
    await node.succeed("ADD", vrfCall(second));
    await node.succeed("ADD", vrfCall(third, { vrfname: "red" }));
    const table = async (name: string) => (await pod.link(name))?.linkinfo?.info_data?.table;
    expect([await table("blue"), await table("red")]).toEqual([3, 4]);
    await node.succeed("DEL", vrfCall(first));
    expect(await checkOf(node, second)).toBe("");
    // an interface of another VRF is not torn out of it
    await node.succeed("DEL", vrfCall(third));
    expect(await checkOf(node, third, { vrfname: "red" })).toBe("");
    await node.succeed("DEL", vrfCall(second));
    expect([await table("blue"), await table("red")]).toEqual([undefined, 4]);
  });

  test("20,000 routes and links of the pod's own: DEL reads few of them, and takes the interface out", async () => {
    const node = await Node.create();
    const attached = await attach(node, network(node));
    const { pod } = attached;
    await node.succeed("ADD", vrfCall(attached));
    const batch = join(node.dataDir, "batch");
    const lines = (count: number, line: (n: number) => string): string =>
      Array.from({ length: count }, (_, n) => line(n)).join("\n");
    const routes20 = lines(20_000, (n) => `route add 20.0.${n >> 8}.${n & 255}/32 dev eth0 table 1`);
    writeFileSync(batch, `${routes20}\n${lines(200, (n) => `link add more${n} type dummy`)}`);
    await pod.must("ip", "-batch", batch);
    const call = vrfCall(attached);
    const options = { env: environment(podwireFolder(), "DEL", call), input: JSON.stringify(call.config) };
    const { exitCode, stderr } = await node.run("/usr/bin/time", ["-f", "%M", join(podwireFolder(), "vrf")], options);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/250 routes and more/);
    expect(Number(stderr.trim().split("\n").at(-1))).toBeLessThan(8_000);
    expect([await pod.link("blue"), (await pod.link("eth0"))!.master]).toEqual([undefined, undefined]);
    // what ADD moved stands first
    expect(await pod.ip("route show default")).toMatch(/^default via 10\.9\.0\.1 dev eth0/);
    expect(await pod.ping("10.9.0.1")).toBe(true);
  });

  test("a VRF of the pod's that is down is set up: the interface is reached through it", async () => {
    const node = await Node.create();
    const attached = await attach(node, network(node));
    await attached.pod.ip("link add blue type vrf table 50");
    await node.succeed("ADD", vrfCall(attached));
    expect(await checkOf(node, attached)).toBe("");
    expect([await node.ping(attached.ip4), await node.ping(attached.ip6)]).toEqual([true, true]);
  });

  test.each<[string, (node: Node) => Config]>([
    ["bridge", network],
    ["ipvlan", (node) => config(node, "ipvlan")],
  ])("DEL that takes another's pod for its own leaves it as it is, after %s", async (_first, make) => {
    const { node } = await vlanNetwork();
    const victim = await attach(node, make(node));
    const evil = await attach(node, make(node));
    for (const attached of [victim, evil]) await node.succeed("ADD", vrfCall(attached));
    const look = async (): Promise<unknown> => [await routesOf(victim.pod), await hostState(victim.pod)];
    const before = await look();
    const forged = [
      { netns: victim.pod, config: vrfCall(victim).config },
      { netns: victim.pod, config: vrfCall(evil).config },
      { netns: victim.pod, config: vrfCall(evil, { prevResult: undefined }).config },
      { config: vrfCall(victim).config },
      { netns: "", config: vrfCall(victim).config },
    ];
    for (const more of forged) {
      await node.succeed("DEL", { ...vrfCall(evil), ...more } as Call);
      expect(await look()).toEqual(before);
    }
    expect(await checkOf(node, victim)).toBe("");
    await node.succeed("DEL", vrfCall(victim));
    expect(await victim.pod.link("blue")).toBeUndefined();
  });

  test("what is wrong is refused, and nothing is left of it", async () => {
    const node = await Node.create();
    const attached = await attach(node, network(node));
    const { pod } = attached;
    const before = [await routesOf(pod), (await pod.links()).length];
    const refused = async (more: object, call: Partial<Call> = {}): Promise<Answer["error"]> => {
      const { error } = await node.podwire("ADD", { ...vrfCall(attached, more), ...call });
      return error;
    };
    expect((await refused({ vrfname: undefined }))?.msg).toMatch(/vrfname/);
    expect((await refused({ vrfname: "much-too-long-a-name" }))?.msg).toMatch(/vrfname/);
    expect((await refused({ table: 254 }))?.msg).toMatch(/table is 254|table.*must not be 253 to 255/);
    expect((await refused({ vrfname: "lo" }))?.msg).toMatch(/vrfname: link "lo" .* is not a VRF/);
    expect((await refused({ prevResult: undefined }))?.msg).toMatch(/prevResult is missing/);
    expect((await refused({}, { ifname: "eth7" }))?.msg).toMatch(/CNI_IFNAME "eth7" does not exist/);
    expect([await routesOf(pod), (await pod.links()).length]).toEqual(before);
    await node.succeed("ADD", vrfCall(attached, { table: 7 }));
    expect((await refused({}))?.msg).toMatch(/eth0 in the container has a master already: blue/);
    expect(await checkOf(node, attached, { table: 8 })).toMatch(/VRF blue has table 7, not 8/);
    await pod.ip("link set eth0 nomaster");
    expect(await checkOf(node, attached)).toMatch(/eth0 is not a member of VRF blue/);
    expect((await refused({ table: 8 }))?.msg).toMatch(/table is 8, but VRF "blue" is there already, with table 7/);
    await pod.ip("link delete blue");
    expect(await checkOf(node, attached)).toMatch(/VRF blue does not exist/);
    // a link that is down has no routes to move
    await pod.ip("link set eth0 down");
    await node.succeed("ADD", { ...vrfCall(attached), args: "K8S_POD_NAME=web-1" });
    expect(await checkOf(node, attached)).toBe("");
    const { config } = vrfCall(attached, { "cni.dev/valid-attachments": [], prevResult: undefined });
    for (const verb of ["GC", "STATUS"] as const) await node.succeed(verb, { plugin: "vrf", config: config! });
    expect(await checkOf(node, attached)).toBe("");
    await node.succeed("DEL", vrfCall(attached, { vrfname: undefined }));
    await node.succeed("DEL", attached.call);
    for (const more of [{}, { netns: "" }, { netns: "/run/netns/none" }]) {
      await node.succeed("DEL", { ...vrfCall(attached), ...more });
    }
  });

  test.runIf(reference.newest)(
    "routes and VRF are as the reference's, and either one's DEL takes the other's",
    async () => {
      const node = await Node.create();
      const plain = network(node, { ipam: hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "0.0.0.0/0" }] }) });
      const [one, two] = [await attach(node, plain), await attach(node, plain)];
      await node.succeed("ADD", vrfCall(one));
      expect(await node.reference("ADD", vrfCall(two))).toMatchObject({ exitCode: 0 });
      expect(await routesOf(one.pod)).toEqual(
        (await routesOf(two.pod)).map((line) => line.replaceAll(two.ip4, one.ip4)),
      );
      expect(await checkOf(node, two)).toBe("");
      expect(await node.reference("CHECK", vrfCall(one))).toMatchObject({ exitCode: 0 });
      const reached = async () => [await node.ping(one.ip4), await node.ping(two.ip4)];
      expect(await reached()).toEqual([true, true]);
      await node.succeed("DEL", vrfCall(two));
      expect(await node.reference("DEL", vrfCall(one))).toMatchObject({ exitCode: 0 });
      expect([await one.pod.link("blue"), await two.pod.link("blue")]).toEqual([undefined, undefined]);
      expect(await reached()).toEqual([true, true]);
    },
  );
});

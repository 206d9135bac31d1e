import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  bridge,
  callFor,
  complaint,
  type Config,
  defaultRoutes,
  dualStack,
  hostLocal,
  programs,
  ptp,
  refusal,
  v4,
} from "./configs.ts";
import { Node } from "./harness.ts";
import { tcp, translations } from "./ports.ts";
import { nodeOnLan } from "./uplink.ts";

// What is another's is not taken: addresses, routes and masquerading change hands only where the holder is provably
// gone.

/** Two networks that hand out the same addresses, each from a folder of its own. */
const twins = (make: (more: object) => Config, node: Node): [Config, Config] => {
  const of = (name: string) =>
    make({
      name,
      ipMasq: true,
      ipam: hostLocal(node, { ...v4, dataDir: `${node.dataDir}/${name}`, routes: defaultRoutes }),
    });
  return [of("one"), of("two")];
};

/** That the pod's packets leave the node with the node's address: nothing outside knows the way back to the pod's. */
const isMasqueraded = async ({ pod }: Attached): Promise<boolean> => pod.ping("192.0.2.2");

describe.each<[string, (node: Node) => (more: object) => Config]>([
  ["ptp", (node) => (more) => ptp(node, more)],
  [
    "bridge",
    (node) => (more) => bridge(node, { isDefaultGateway: true, bridge: `br-${(more as Config)["name"]}`, ...more }),
  ],
])("two networks of %s with one range", (_what, make) => {
  test("a live pod keeps its address and its way out: the second ADD is refused, naming it, and its DEL takes nothing", async () => {
    const node = await Node.create();
    await node.outside();
    const [first, second] = twins(make(node), node);
    const victim = await attach(node, first);
    expect(await isMasqueraded(victim)).toBe(true);
    const call = await callFor(node, second);
    expect(await refusal(node, call)).toMatchObject({
      code: 11,
      msg: expect.stringContaining(`container ${victim.call.containerId}`) as unknown,
    });
    await node.succeed("DEL", call);
    expect([await isMasqueraded(victim), await node.ping(victim.ip4)]).toEqual([true, true]);
    expect(await complaint(node, victim)).toBe("");
  });
});

describe("ptp, where a bridge of the node is on the same range", () => {
  const ranges = (node: Node, more: object = {}): object => dualStack(node, { routes: defaultRoutes, ...more });

  test("does not lead a live bridge pod's address to its own: the ADD is refused, naming it", async () => {
    const node = await Node.create();
    const victim = await attach(node, bridge(node, { name: "one", isGateway: true, ipam: ranges(node) }));
    const call = await callFor(node, ptp(node, { name: "two", ipam: ranges(node) }));
    const before = await node.snapshot();
    expect(await refusal(node, call)).toMatchObject({
      code: 11,
      msg: expect.stringContaining(`${victim.ip4} is the address of container ${victim.call.containerId}`) as unknown,
    });
    expect([await node.snapshot(), await node.ping(victim.ip4), await node.ping(victim.ip6)]).toEqual([
      before,
      true,
      true,
    ]);
    // the next one it tries is free, and so are those of pods that are gone
    const next = await attach(node, call.config);
    expect(await node.ping(next.ip4)).toBe(true);
    await node.ip(`link delete ${victim.hostVeth}`);
    await victim.pod.remove();
    const ask = { runtimeConfig: { ips: [victim.ip4] }, ipam: hostLocal(node, { ...v4, routes: defaultRoutes }) };
    const last = await attach(node, ptp(node, { name: "two", ...ask }));
    expect([last.ip4, await node.ping(victim.ip4)]).toEqual([victim.ip4, true]);
  });

  test("nobody is asked where that bridge has no address: its pods are a network of their own", async () => {
    const node = await Node.create();
    const one = await attach(node, bridge(node, { name: "one", ipam: ranges(node) }));
    const two = await attach(node, ptp(node, { name: "two", ipam: ranges(node) }));
    expect([two.ip4, await node.ping(two.ip4)]).toEqual([one.ip4, true]);
  });
});

describe("a route of the node's to a pod's address", () => {
  test.each([
    ["IPv4, another metric", "route add 10.9.0.2/32 via 192.168.77.9 metric 100", "link lan"],
    ["IPv4, the same", "route add 10.9.0.2/32 via 192.168.77.9", "link lan"],
    ["IPv6, preferred", "-6 route add fd00:9::2/128 via fd77::9 metric 100", "link lan"],
    ["IPv6, the same", "-6 route add fd00:9::2/128 via fd77::9", "link lan"],
    ["IPv6, after podwire's", "-6 route add fd00:9::2/128 via fd77::9 metric 2000", "link lan"],
    ["leads nowhere", "route add unreachable 10.9.0.2/32", "no link"],
  ])("stays, and the ADD is refused: %s", async (_what, route, holder) => {
    const node = await nodeOnLan(route);
    const before = await node.snapshot();
    const error = await refusal(node, await callFor(node, ptp(node, { ipam: dualStack(node) })));
    expect(error).toMatchObject({ code: 11, msg: expect.stringMatching(`route to .* leads to ${holder}`) as unknown });
    expect(await node.snapshot()).toEqual(before);
  });
});

describe("an address of IPAM's", () => {
  const given = (address: string): string => {
    const ip = { address, gateway: address.includes(":") ? "fd07::1" : "10.7.0.1" };
    return programs({ given: `cat > /dev/null; echo '${JSON.stringify({ cniVersion: "1.0.0", ips: [ip] })}'` });
  };

  test.each([
    ["127.0.0.5/8", "a loopback address"],
    ["0.0.0.0/8", "an unspecified address"],
    ["224.1.2.3/4", "a multicast address"],
    ["255.255.255.255/32", "the broadcast address"],
    ["::1/128", "the loopback address"],
    ["ff02::5/16", "a multicast address"],
    ["192.168.77.1/24", "an address of this node"],
  ])("%s is no pod's, whoever gave it: %s", async (address, what) => {
    const node = await Node.create();
    await node.ip("link add name lan type veth peer name far");
    for (const line of ["link set lan up", "address add 192.168.77.1/24 dev lan"]) await node.ip(line);
    const before = await node.snapshot();
    for (const config of [ptp(node, { ipam: { type: "given" } }), bridge(node, { ipam: { type: "given" } })]) {
      const error = await refusal(node, { ...(await callFor(node, config)), path: given(address) });
      expect(error).toMatchObject({ code: 7, msg: expect.stringContaining(what) as unknown });
      expect(error.msg).toContain(address.replace(/\/.*/, ""));
    }
    expect(await node.snapshot()).toEqual(before);
  });

  test("that is asked for is taken back from a pod that is gone, by whichever way, and by the same container", async () => {
    const node = await Node.create();
    for (const ask of [{ args: { cni: { ips: ["10.9.0.7"] } } }, { runtimeConfig: { ips: ["10.9.0.7"] } }, {}]) {
      const more = "args" in ask || "runtimeConfig" in ask ? {} : { args: "IP=10.9.0.7" };
      const { pod, ip4 } = await attach(node, bridge(node, ask), more);
      expect(ip4).toBe("10.9.0.7");
      expect(await refusal(node, await callFor(node, bridge(node, ask), more))).toMatchObject({ code: 11 });
      await pod.ip("link delete eth0");
      await pod.remove();
    }
    const again = await callFor(node, bridge(node), { containerId: "again", args: "IP=10.9.0.8" });
    const { netns: gone } = again as { netns: Attached["pod"] };
    await node.succeed("ADD", again);
    expect((await refusal(node, { ...again, netns: await node.pod() })).msg).toMatch(/10\.9\.0\.8|attached/);
    await gone.ip("link delete eth0");
    await gone.remove();
    const { result } = await node.succeed("ADD", { ...again, netns: await node.pod() });
    expect(result!.ips).toMatchObject([{ address: "10.9.0.8/24" }]);
  });
});

test("a network that was renamed: DEL by the new name takes all of it away, lease and rules too", async () => {
  const node = await Node.create();
  const config = bridge(node, { ipMasq: true, macspoofchk: true, isGateway: true });
  await node.succeed("DEL", (await attach(node, config)).call);
  const before = await node.snapshot();
  const { call } = await attach(node, config);
  await node.succeed("DEL", { ...call, config: { ...config, name: "renamed" } });
  expect(await node.snapshot()).toEqual(before);
  expect(await (call.netns as Attached["pod"]).link("eth0")).toBeUndefined();
  await node.succeed("ADD", { ...call, config: { ...config, name: "renamed" } });
});

test.each(["nftables", "iptables"])("a network that was renamed: portmap by %s knows its ports", async (backend) => {
  const node = await Node.create();
  const { call, pod, result } = await attach(node, bridge(node, { isGateway: true }));
  const portmap = (name: string, port: number, ifname = "eth0") => {
    const runtimeConfig = { portMappings: [tcp(port, 80)] };
    const prevResult = { ...result, interfaces: [], ips: result.ips!.map(({ address }) => ({ address })) };
    const config = { cniVersion: "1.1.0", name, type: "portmap", backend, runtimeConfig, prevResult };
    return { plugin: "portmap", config, containerId: call.containerId!, netns: pod, ifname };
  };
  await node.succeed("ADD", portmap("net", 8081, "net1"));
  await node.succeed("ADD", portmap("net", 8080));
  await node.succeed("ADD", portmap("renamed", 8080));
  await node.succeed("DEL", portmap("again", 8080));
  expect(await translations(node)).not.toContain("8080");
  expect(await translations(node)).toContain("8081");
  await node.succeed("DEL", portmap("net", 8081, "net1"));
  expect(await translations(node)).not.toContain("8081");
});

test("a range that was widened since: CHECK asks for what ADD reported", async () => {
  const node = await Node.create();
  const of = (subnet: string) => bridge(node, { isGateway: true, ipam: hostLocal(node, { subnet }) });
  const attached = await attach(node, of("10.9.0.0/24"));
  expect(await complaint(node, attached)).toBe("");
  const wide = { ...attached, call: { ...attached.call, config: of("10.9.0.0/16") } };
  expect(await complaint(node, wide)).toBe("");
});

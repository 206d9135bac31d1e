import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  bareEnvironment,
  bridge,
  complaint,
  defaultRoutes,
  dualStack,
  ptp,
  refusal,
  callFor,
  watchedTools,
} from "./configs.ts";
import { Node, type Outside } from "./harness.ts";

const plugins = [
  ["bridge, nftables by default", bridge, {}],
  ["bridge, nftables", bridge, { ipMasqBackend: "nftables" }],
  ["bridge, iptables", bridge, { ipMasqBackend: "iptables" }],
  ["ptp, nftables", ptp, {}],
  ["ptp, iptables", ptp, { ipMasqBackend: "iptables" }],
] as const;

const masquerading = (make: typeof bridge, node: Node, more: object = {}) =>
  make(node, { isDefaultGateway: true, ipMasq: true, ...more, ipam: dualStack(node, { routes: defaultRoutes }) });

/** The source addresses under which a pod arrives outside, by both families. */
async function seenFrom({ pod }: Attached, outside: Outside): Promise<string[]> {
  const seen = await Promise.all(
    [outside.address4, outside.address6].map(async (address) => pod.connect(address, 8080)),
  );
  return seen.map(({ from }) => from);
}

describe("ipMasq", () => {
  test.each(plugins)("%s: outside sees the node, a neighbour sees the pod", async (_what, make, more) => {
    const node = await Node.create();
    const outside = await node.outside();
    await outside.listen(8080);
    const config = masquerading(make, node, more);
    const [one, two] = [await attach(node, config), await attach(node, config)];
    expect(await seenFrom(one, outside)).toEqual([outside.node4, outside.node6]);
    await two.pod.listen(80);
    const seen = await Promise.all([two.ip4, two.ip6].map(async (ip) => one.pod.connect(ip, 80)));
    expect(seen.map(({ from }) => from)).toEqual([one.ip4, one.ip6]);
    expect(await complaint(node, one)).toBe("");
  });

  test.each(plugins)("%s: programs are started for iptables alone", async (_what, make, more) => {
    const node = await Node.create();
    const { env, started } = watchedTools();
    const made = await attach(node, masquerading(make, node, more), { env });
    expect(await complaint(node, made)).toBe("");
    await node.succeed("DEL", made.call);
    await node.succeed("GC", {
      plugin: made.call.plugin,
      env,
      config: { ...made.call.config, "cni.dev/valid-attachments": [] },
    });
    expect(started().length > 0).toBe("ipMasqBackend" in more && more.ipMasqBackend === "iptables");
  });

  test.each(plugins)("%s: DEL of one pod takes its own rules and leaves the other's", async (_what, make, more) => {
    const node = await Node.create();
    const outside = await node.outside();
    await outside.listen(8080);
    const config = masquerading(make, node, more);
    const stays = await attach(node, config);
    const before = await node.snapshot();
    const goes = await attach(node, config);
    await node.succeed("DEL", goes.call);
    expect(await node.snapshot()).toEqual(before);
    expect(await seenFrom(stays, outside)).toEqual([outside.node4, outside.node6]);
  });

  test.each([
    ["nftables", {}],
    ["iptables", { ipMasqBackend: "iptables" }],
  ])("multicast keeps its source (%s)", async (_what, more) => {
    const node = await Node.create();
    await node.outside();
    const { ip4, ip6 } = await attach(node, masquerading(bridge, node, more));
    // The node forwards no multicast, so it sends in the pod's place, and counts what comes out after source NAT.
    await node.ip(`address add ${ip4}/32 dev lo`);
    await node.ip(`address add ${ip6}/128 dev lo nodad`);
    const counters = ["224.0.0.1", "192.0.2.2"]
      .map((dst) => `ip saddr ${ip4} ip daddr ${dst} counter`)
      .concat(["ff02::1", "2001:db8::2"].map((dst) => `ip6 saddr ${ip6} ip6 daddr ${dst} counter`));
    const { exitCode } = await node.run("nft", ["-f", "-"], {
      input: `table inet seen {\nchain after {\ntype filter hook postrouting priority 300\n${counters.join("\n")}\n}\n}\n`,
    });
    expect(exitCode).toBe(0);
    for (const [from, to] of [
      [ip4, "224.0.0.1"],
      [ip4, "192.0.2.2"],
      [ip6, "ff02::1"],
      [ip6, "2001:db8::2"],
    ] as const) {
      await node.ping(to, { timeoutS: 1, args: ["-I", from, ...(to.startsWith("ff") ? ["-I", "uplink"] : [])] });
    }
    const text = await node.must("nft", "list", "table", "inet", "seen");
    const passed = [...text.matchAll(/counter packets (\d+)/g)].map((match) => Number(match[1]) > 0);
    expect(passed).toEqual([true, false, true, false]);
  });

  test("without ipMasq outside sees the pod, whose address it has no way back to", async () => {
    const node = await Node.create();
    const outside = await node.outside();
    await outside.listen(8080);
    const { pod } = await attach(node, { ...masquerading(bridge, node), ipMasq: false });
    await expect(pod.connect(outside.address4, 8080, { timeoutMs: 1000 })).rejects.toThrow("timeout");
    expect(await node.ruleset()).toEqual([]);
  });

  test("the pods of a network share one chain per subnet, however many there are", async () => {
    const node = await Node.create();
    const config = masquerading(bridge, node);
    const chains = async (): Promise<number> =>
      (await node.ruleset()).filter((entry) => "chain" in entry || "rule" in entry).length;
    await attach(node, config);
    const one = await chains();
    await attach(node, config);
    expect(await chains()).toBe(one);
  });

  test("needs no tool on the node with nftables, and names the tool that is missing with iptables", async () => {
    const node = await Node.create();
    const config = masquerading(bridge, node);
    const env = bareEnvironment();
    const attached = await attach(node, config, { env });
    expect(await complaint(node, attached, { env })).toBe("");
    await node.succeed("DEL", { ...attached.call, env });
    const before = await node.snapshot();
    const error = await refusal(node, await callFor(node, { ...config, ipMasqBackend: "iptables" }, { env }));
    expect(error.msg).toMatch(/iptables.*PATH/);
    expect(await node.snapshot()).toEqual(before);
  });

  test.each([
    ["nftables", {}, ["nft", "flush", "map", "inet", "podwire", "masquerade6"]],
    ["iptables", { ipMasqBackend: "iptables" }, ["ip6tables", "-t", "nat", "-F"]],
  ])("CHECK notices that one family's rules are gone (%s)", async (_what, more, command) => {
    const node = await Node.create();
    const attached = await attach(node, masquerading(bridge, node, more));
    await node.must(command[0]!, ...command.slice(1));
    expect(await complaint(node, attached)).not.toBe("");
  });
});

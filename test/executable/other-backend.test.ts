import { describe, expect, test } from "vitest";
import { attach, type Attached, bridge, type Config, ptp } from "./configs.ts";
import { Node, runList } from "./harness.ts";
import { tcp, translations } from "./ports.ts";

// What pods have in iptables: its rules are told apart by comments of 255 bytes, its chains are a container's, and it
// is found whatever backend the configuration names by now.

const byIptables = { ipMasqBackend: "iptables", backend: "iptables" };
const wired = (node: Node, more: object = {}): Config =>
  bridge(node, { isGateway: true, ipMasq: true, capabilities: { portMappings: true }, ...byIptables, ...more });
const mapping = (port: number): object => ({ runtimeConfig: { portMappings: [tcp(port, 80)] } });

const collect = async (node: Node, config: Config, valid: Attached[] = []): Promise<void> => {
  const entries = valid.map(({ call }) => ({ containerID: call.containerId, ifname: call.ifname ?? "eth0" }));
  await node.succeed("GC", { plugin: config.type, config: { ...config, "cni.dev/valid-attachments": entries } });
};

/** Which of these words the translations of the node have. */
const found = async (node: Node, ...words: string[]): Promise<boolean[]> => {
  const text = await translations(node);
  return words.map((word) => text.includes(word));
};

describe("GC", () => {
  test("of a network whose long name another one's begins with takes its own alone", async () => {
    const node = await Node.create();
    const [one, other] = ["a", "b"].map((end) => wired(node, { name: "n".repeat(249) + end }));
    const kept = await attach(node, { ...one!, ...mapping(8080) });
    const gone = await attach(node, { ...one!, ...mapping(8081) });
    const others = await attach(node, { ...other!, bridge: "br1", ...mapping(8082) });
    await collect(node, one!, [kept]);
    expect(await found(node, `${kept.ip4}/32`, "8080", `${gone.ip4}/32`, "8081", "8082")).toEqual([
      true,
      true,
      false,
      false,
      true,
    ]);
    await collect(node, one!);
    await collect(node, other!);
    expect(await found(node, "8080", "8082", `-s ${others.ip4}/32`)).toEqual([false, false, false]);
  });

  test("of one interface of a container that has another takes that one's masquerading", async () => {
    const node = await Node.create();
    const pod = { netns: await node.pod(), containerId: "one" };
    const kept = await attach(node, ptp(node, { ipMasq: true, ...byIptables }), pod);
    const gone = await attach(node, wired(node, { isGateway: false }), { ...pod, ifname: "net1" });
    await collect(node, wired(node), [kept]);
    expect(await found(node, `-s ${kept.ip4}/32`, `-s ${gone.ip4}/32`)).toEqual([true, false]);
  });

  test("spares what is valid, under whatever name of its network it was made", async () => {
    const node = await Node.create();
    for (const backend of [byIptables, { ipMasqBackend: "nftables", backend: "nftables" }]) {
      const attached = await attach(node, { ...wired(node, backend), ...mapping(8080) });
      const before = await translations(node);
      await collect(node, wired(node, { ...backend, name: "renamed" }), [attached]);
      expect(await translations(node)).toBe(before);
      await node.succeed("DEL", { ...attached.call, config: { ...attached.call.config, name: "renamed" } });
      expect(await found(node, "8080", attached.ip4)).toEqual([false, false]);
    }
  });
});

describe.each<[string, object, object]>([
  ["iptables, then nftables", byIptables, { ipMasqBackend: "nftables", backend: "nftables" }],
  ["iptables, then none", byIptables, { ipMasqBackend: undefined, backend: undefined }],
  ["nftables, then iptables", { ipMasqBackend: "nftables", backend: "nftables" }, byIptables],
])("the backend was %s", (_what, first, then) => {
  test.each(["DEL", "GC"])("%s takes all", async (verb) => {
    const node = await Node.create();
    const { call, ip4 } = await attach(node, { ...wired(node, first), ...mapping(8080) });
    expect(await found(node, "8080", ip4)).toEqual([true, true]);
    if (verb === "DEL") await node.succeed("DEL", { ...call, config: wired(node, then) });
    else await collect(node, wired(node, then));
    expect(await found(node, "8080", ip4)).toEqual([false, false]);
  });

  test.each(["DEL", "GC"])("%s takes all of chained plugins", async (verb) => {
    const node = await Node.create();
    const list = (more: { backend?: string }) => ({
      cniVersion: "1.1.0",
      name: "net",
      plugins: [
        bridge(node, { isGateway: true }),
        { type: "portmap", capabilities: { portMappings: true }, ...more },
        { type: "firewall", ...more },
      ],
    });
    const to = { containerId: "pod", netns: await node.pod(), capabilities: { portMappings: [tcp(8080, 80)] } };
    const run = node.podwire.bind(node);
    expect(await runList(run, "ADD", list(first), to)).toMatchObject({ exitCode: 0 });
    if (verb === "DEL") await runList(run, "DEL", list(then), to);
    else for (const each of list(then).plugins) await collect(node, { ...each, cniVersion: "1.1.0", name: "net" });
    expect(await found(node, "8080")).toEqual([false]);
    expect(await node.rulesetText()).not.toMatch(/10\.9\.0\.2|net pod eth0/);
  });
});

import { describe, expect, test } from "vitest";
import { bareEnvironment, defaultRoutes, dualStack, failure } from "./configs.ts";
import { Node } from "./harness.ts";
import { translations } from "./ports.ts";

const config = (node: Node, plugin: string, more: object = {}) => ({
  cniVersion: "1.1.0",
  name: "ports",
  type: plugin,
  ...(plugin === "bridge" && { bridge: "br0", isDefaultGateway: true }),
  capabilities: { portMappings: true },
  ipam: dualStack(node, { routes: defaultRoutes }),
  ...more,
});
const mappings = { runtimeConfig: { portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: "tcp" }] } };

// The `portMappings` capability of the wiring plugin itself: one process does what a chain with portmap does.
describe.each(["bridge", "ptp"])("%s with port mappings of its own", (plugin) => {
  test("leads a port of the node to the pod, checks it, and takes it away without being told of it again", async () => {
    const node = await Node.create();
    const outside = await node.outside();
    const [pod, bystander] = [await node.pod(), await node.pod()];
    // shared things (bridge, table, its maps) stay, so they are made before the snapshot
    const call = { plugin, config: config(node, plugin, mappings), containerId: "other", netns: bystander };
    await node.succeed("ADD", call);
    await node.succeed("DEL", { ...call, config: config(node, plugin) });
    const before = await node.snapshot();

    const mine = { plugin, config: config(node, plugin, mappings), containerId: "web", netns: pod };
    const { result } = await node.succeed("ADD", mine);
    await pod.listen(80, { name: "web" });
    expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: "web", from: outside.address4 });
    expect(await outside.connect(outside.node6, 8080)).toMatchObject({ server: "web", from: outside.address6 });
    expect(await node.connect("127.0.0.1", 8080)).toMatchObject({ server: "web" });
    const check = { ...mine, config: config(node, plugin, { ...mappings, prevResult: result }) };
    await node.succeed("CHECK", check);

    const taken = await node.podwire("ADD", { ...mine, containerId: "second", netns: bystander });
    expect(taken.exitCode).toBe(1);
    expect(taken.error?.msg).toMatch(/8080.*web/s);

    await node.must("nft", "flush", "map", "inet", "podwire", "hostporttargets4");
    expect((await node.podwire("CHECK", check)).error?.msg).toContain("8080");

    await node.succeed("DEL", { ...mine, config: config(node, plugin) });
    await node.succeed("DEL", { ...mine, config: config(node, plugin) });
    expect(await node.snapshot()).toEqual(before);
  });

  test("does nothing in the firewall when there is nothing to map", async () => {
    const node = await Node.create();
    await node.succeed("ADD", { plugin, config: config(node, plugin), containerId: "plain", netns: await node.pod() });
    expect(await node.ruleset()).toEqual([]);
  });

  test("ignores mappings nobody declared the capability for, and names a wrong one", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const wrong = { runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 80, protocol: "icmp" }] } };
    const { error } = await node.podwire("ADD", {
      plugin,
      config: config(node, plugin, wrong),
      containerId: "wrong",
      netns: pod,
    });
    expect(error).toMatchObject({ code: 7 });
    expect(error?.msg).toMatch(/portMappings\[0\]\.hostPort is 70000.*portMappings\[0\]\.protocol is "icmp"/);
    await node.succeed("ADD", {
      plugin,
      config: config(node, plugin, { ...mappings, capabilities: {} }),
      containerId: "plain",
      netns: pod,
    });
    expect(await node.ruleset()).toEqual([]);
  });

  const byIptables = { backend: "iptables" };

  test("by iptables: GC takes all chains of what is not valid, and leaves those of what is", async () => {
    const node = await Node.create();
    const [kept, lost] = [await node.pod(), await node.pod()];
    const of = (hostPort: number) => ({
      ...byIptables,
      runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] },
    });
    await node.succeed("ADD", { plugin, config: config(node, plugin, of(8080)), containerId: "kept", netns: kept });
    const before = await translations(node);
    await node.succeed("ADD", { plugin, config: config(node, plugin, of(8081)), containerId: "lost", netns: lost });
    expect(await translations(node)).not.toBe(before);
    // a runtime's GC has no runtimeConfig
    const valid = { "cni.dev/valid-attachments": [{ containerID: "kept", ifname: "eth0" }] };
    await node.succeed("GC", { plugin, config: config(node, plugin, { ...byIptables, ...valid }) });
    expect(await translations(node)).toBe(before);
  });

  test("by iptables: STATUS is 50 where there is none, and says which tool is missing", async () => {
    const node = await Node.create();
    const ask = async (more: object = {}) =>
      node.podwire("STATUS", { plugin, config: config(node, plugin, byIptables), ...more });
    expect(await ask()).toMatchObject({ exitCode: 0, stdout: "" });
    expect(failure(await ask({ env: bareEnvironment() }))).toMatchObject({
      code: 50,
      msg: expect.stringContaining("iptables-save") as unknown,
    });
  });
});

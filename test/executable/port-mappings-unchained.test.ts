import { describe, expect, test } from "vitest";
import { defaultRoutes, dualStack } from "./configs.ts";
import { Node } from "./harness.ts";

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
    const { error } = await node.podwire("ADD", { plugin, config: config(node, plugin, wrong), containerId: "wrong", netns: pod });
    expect(error).toMatchObject({ code: 7 });
    expect(error?.msg).toMatch(/portMappings\[0\]\.hostPort is 70000.*portMappings\[0\]\.protocol is "icmp"/);
    await node.succeed("ADD", { plugin, config: config(node, plugin, { ...mappings, capabilities: {} }), containerId: "plain", netns: pod });
    expect(await node.ruleset()).toEqual([]);
  });
});


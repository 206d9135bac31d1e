import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { cacheFolder, Cnitool, cnitoolPath } from "./cnitool.ts";
import { available, Node, type Namespace, type NetworkList, type Outside } from "./harness.ts";

const versions = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const done = { exitCode: 0, stdout: "", stderr: "" };
const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
const addresses = (result: { ips?: { address: string }[] } | undefined): string[] =>
  (result?.ips ?? []).map(({ address }) => address.replace(/\/.*/, ""));
const cached = (): string[] => (existsSync(cacheFolder) ? readdirSync(cacheFolder) : []);

const main: Record<string, object> = {
  bridge: { type: "bridge", bridge: "cni0", isDefaultGateway: true, ipMasq: true, hairpinMode: true },
  ptp: { type: "ptp", ipMasq: true },
};

/** A list of one of the main plugins and portmap, dual stack. */
function network(
  node: Node,
  plugin: string,
  { cniVersion = "1.0.0", name = `net-${plugin}`, subnet = 50 } = {},
): NetworkList {
  const routes = plugin === "ptp" ? { routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] } : {};
  const ranges = [[{ subnet: `10.${subnet}.0.0/24` }], [{ subnet: `fd00:${subnet}::/64` }]];
  const ipam = { type: "host-local", dataDir: node.dataDir, ranges, ...routes };
  return {
    cniVersion,
    name,
    plugins: [
      { ...main[plugin], ipam },
      { type: "portmap", capabilities: { portMappings: true } },
    ] as NetworkList["plugins"],
  };
}

describe.runIf(available("cnitool", [cnitoolPath]))("cnitool", () => {
  let node: Node;
  let outside: Outside;
  let tool: Cnitool;
  let pod: Namespace;
  beforeEach(async () => {
    rmSync(cacheFolder, { recursive: true, force: true });
    node = await Node.create();
    outside = await node.outside();
    tool = new Cnitool(node);
    pod = await node.pod();
  });

  describe.each(["bridge", "ptp"])("%s and portmap", (plugin) => {
    test.each(versions)("through cniVersion %s: add, traffic, check, status, del", async (cniVersion) => {
      const list = network(node, plugin, { cniVersion });
      const { name } = list;
      tool.network(list);
      const neighbour = await node.pod();
      const second = await tool.run("add", name, neighbour, {
        capabilities: { portMappings: [{ hostPort: 8081, containerPort: 80, protocol: "tcp" }] },
      });
      expect(second).toMatchObject({ exitCode: 0, stderr: "" });
      const before = await node.snapshot();
      const cachedBefore = cached();

      const options = { capabilities: { portMappings } };
      const { result, ...answer } = await tool.run("add", name, pod, options);
      expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
      expect(result).toMatchObject({
        cniVersion,
        interfaces: expect.arrayContaining([expect.objectContaining({ name: "eth0", sandbox: pod.path })]) as unknown,
      });
      const file = cached().find((each) => !cachedBefore.includes(each));
      expect(JSON.parse(readFileSync(join(cacheFolder, file!), "utf8"))).toMatchObject({
        kind: "cniCacheV1",
        networkName: name,
        ifName: "eth0",
        result,
      });

      await pod.listen(80, { name: "pod" });
      expect(addresses(result)).toHaveLength(2);
      for (const address of addresses(result)) {
        const [host, client] = address.includes(":")
          ? [outside.node6, outside.address6]
          : [outside.node4, outside.address4];
        expect(await neighbour.ping(address)).toBe(true);
        expect(await outside.connect(host, 8080)).toMatchObject({ server: "pod", from: client, to: address });
        expect(await neighbour.ping(client)).toBe(true);
      }
      // libcni itself refuses CHECK below 0.4.0, and passes STATUS over below 1.1.0
      const check = await tool.run("check", name, pod, options);
      expect(check).toMatchObject(
        cniVersion === "0.3.1"
          ? { exitCode: 1, stderr: expect.stringContaining("does not support the CHECK command") as unknown }
          : done,
      );
      expect(await tool.run("status", name, pod)).toEqual(done);

      expect(await tool.run("del", name, pod, options)).toEqual(done);
      expect(await tool.run("del", name, pod, options)).toEqual(done);
      expect(await node.snapshot()).toEqual(before);
      expect(cached()).toEqual(cachedBefore);
    });

    test("check notices what was taken away", async () => {
      const list = network(node, plugin);
      tool.network(list);
      const options = { capabilities: { portMappings } };
      await tool.run("add", list.name, pod, options);
      expect(await tool.run("check", list.name, pod, options)).toEqual(done);
      await pod.ip("route delete default");
      expect(await tool.run("check", list.name, pod, options)).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/0\.0\.0\.0\/0|default/) as unknown,
      });
    });

    test.each(versions)("gc through cniVersion %s takes away what libcni knows of", async (cniVersion) => {
      const list = network(node, plugin, { cniVersion });
      tool.network(list);
      const kept = network(node, plugin, { cniVersion, name: "kept", subnet: 51 });
      tool.network(
        kept.plugins[0]!.type === "bridge"
          ? { ...kept, plugins: [{ ...kept.plugins[0]!, bridge: "cni1" }, ...kept.plugins.slice(1)] }
          : kept,
      );
      expect(await tool.run("add", kept.name, pod, { ifname: "net1" })).toMatchObject({ exitCode: 0 });
      const first = await node.pod();
      expect(await tool.run("add", list.name, first, { capabilities: { portMappings } })).toMatchObject({
        exitCode: 0,
      });
      await first.remove();
      const answer = await tool.run("gc", list.name, pod);
      // libcni calls DEL by itself; cnitool gives plugins no list of valid attachments, which says nothing
      expect(answer).toMatchObject({ exitCode: 0 });
      if (cniVersion === "1.1.0") expect(answer.stderr).toContain("cni.dev/valid-attachments");
      expect(Object.keys(node.leases())).toEqual(["kept/10.51.0.2", "kept/fd00:51::2"]);
      expect((await node.links()).filter(({ ifname }) => ifname.startsWith("veth"))).toHaveLength(1);
      expect(await node.rulesetText()).not.toContain(`${list.name} cnitool-`);
      expect(await pod.ping(outside.address4)).toBe(true);
    });
  });

  test("two interfaces in one container, of two networks, come and go by themselves", async () => {
    const [one, two] = [network(node, "bridge"), network(node, "ptp", { subnet: 51 })];
    delete (two.plugins[0] as unknown as { ipam: { routes?: unknown } }).ipam.routes;
    tool.network(one);
    tool.network(two);
    const ports = { capabilities: { portMappings } };
    const more = {
      ifname: "net1",
      capabilities: { portMappings: [{ hostPort: 8081, containerPort: 80, protocol: "tcp" }] },
    };
    // so that what the second network leaves, its chains, is there already
    await tool.run("add", two.name, pod, more);
    await tool.run("del", two.name, pod, more);
    const first = await tool.run("add", one.name, pod, ports);
    const alone = await node.snapshot();
    const second = await tool.run("add", two.name, pod, more);
    expect([first, second]).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }]);
    expect(cached()).toHaveLength(2);
    await pod.listen(80, { name: "pod" });
    for (const [{ result }, port] of [
      [first, 8080],
      [second, 8081],
    ] as const) {
      expect(await outside.connect(outside.node4, port)).toMatchObject({ server: "pod", to: addresses(result)[0] });
      for (const address of addresses(result)) expect(await node.ping(address)).toBe(true);
    }
    expect(await tool.run("check", one.name, pod, ports)).toEqual(done);
    expect(await tool.run("check", two.name, pod, more)).toEqual(done);
    expect(await tool.run("del", two.name, pod, more)).toEqual(done);
    expect(await node.snapshot()).toEqual(alone);
    expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: "pod" });
    expect(await tool.run("check", one.name, pod, ports)).toEqual(done);
    expect(await tool.run("del", one.name, pod, ports)).toEqual(done);
    expect(await pod.links()).toHaveLength(1);
    expect(node.leases()).toEqual({});
  });

  test("status says what is wrong when a plugin cannot work", async () => {
    const list = network(node, "ptp", { cniVersion: "1.1.0" });
    tool.network({
      ...list,
      plugins: [
        { ...list.plugins[0]!, ipam: { type: "host-local", dataDir: "/etc/hostname/leases", subnet: "10.50.0.0/24" } },
      ],
    });
    expect(await tool.run("status", list.name, pod)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("/etc/hostname") as unknown,
    });
  });
});

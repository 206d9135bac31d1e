import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { pluginNames } from "../../src/plugins/registry.ts";
import { confFolder, loadConf, Node, runList, type Answer, type Call, type Verb } from "./harness.ts";

const files = readdirSync(confFolder)
  .filter((file) => /\.(json|conflist)$/.test(file))
  .sort();
/** Those that need what this kernel may lack: test/uml/conf.test.ts; or a server and a daemon: dhcp-conf.test.ts. */
const lacking = ["bridge-vlan.json", "dummy.json", "ipvlan.json", "vlan.json", "vrf.conflist"];
const elsewhere = new Set([...lacking, "dhcp.json", "macvlan-dhcp.json"]);
const addressless = new Set(["bridge-l2.json", "loopback.json", "host-local.json", "static.json"]);
/** Their pods do not reach each other: they must not, or a program in the pod would have to pass frames on. */
const isolated = new Set(["bridge-isolated.json", "tap.json"]);
const mapping = (hostPort: number) => ({ portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] });

/** What flanneld writes, where it writes it. */
function writeSubnetEnv(): void {
  mkdirSync("/run/flannel", { recursive: true });
  const lines = ["NETWORK=10.42.0.0/16", "SUBNET=10.42.3.1/24", "MTU=1450", "IPMASQ=true"];
  writeFileSync("/run/flannel/subnet.env", lines.map((line) => `FLANNEL_${line}\n`).join(""));
}

/** Addresses of a result without prefix lengths, whatever its version. */
const addresses = (answer: Answer): string[] =>
  (answer.result?.ips ?? []).map(({ address }) => address.replace(/\/.*/, ""));

describe("conf/", () => {
  test("holds a configuration for every plugin", () => {
    const types = new Set(files.flatMap((file) => loadConf(file).plugins.map(({ type }) => type)));
    expect([...types].sort()).toEqual(pluginNames.toSorted());
  });

  test.each(files.filter((file) => !elsewhere.has(file)))("%s works as it stands", async (file) => {
    const list = loadConf(file);
    const node = await Node.create();
    const outside = await node.outside();
    await node.ip(`route add default via ${outside.address4}`);
    if (list.plugins[0]?.type === "flannel") writeSubnetEnv();
    // host-device's: each pod has one of the two
    await node.ip("link add lan0 type veth peer name lan1");
    const others = {
      ...list,
      plugins: list.plugins.map((plugin) => ({ ...plugin, ...("device" in plugin && { device: "lan1" }) })),
    };
    const run = async (verb: Verb, call: Call) => node.podwire(verb, call);
    const ifname = list.plugins[0]?.type === "loopback" ? "lo" : "eth0";
    const first = { containerId: "first", netns: await node.pod(), ifname, capabilities: mapping(8080) };
    const second = { containerId: "second", netns: await node.pod(), ifname, capabilities: mapping(8081) };

    const neighbour = await runList(run, "ADD", others, second);
    expect(neighbour.stdout).not.toContain('"code"');
    const before = await node.snapshot();
    const added = await runList(run, "ADD", list, first);
    expect(added).toMatchObject({ exitCode: 0, stderr: "" });
    expect(added.result?.cniVersion).toBe(list.cniVersion);

    if (!addressless.has(file)) {
      for (const address of addresses(neighbour)) {
        // with sbr a packet finds its way by its source
        const args = list.plugins.some(({ type }) => type === "sbr") ? ["-I", addresses(added)[0]!] : [];
        const silence = isolated.has(file) ? { timeoutS: 1 } : {};
        expect([address, await first.netns.ping(address, { args, ...silence })]).toEqual([
          address,
          !isolated.has(file),
        ]);
      }
      const masqueraded = list.plugins[0]?.ipMasq === true && addresses(added).some((address) => address.includes("."));
      if (masqueraded) expect(await first.netns.ping(outside.address4)).toBe(true);
    }
    if (
      list.plugins.some(({ capabilities }) => (capabilities as { portMappings?: boolean } | undefined)?.portMappings)
    ) {
      await first.netns.listen(80, { name: "first" });
      const address = addresses(added)[0]?.includes(":") ? outside.node6 : outside.node4;
      expect(await outside.connect(address, 8080)).toMatchObject({ server: "first" });
    }
    if (!/^0\.[123]\./.test(list.cniVersion)) {
      expect(await runList(run, "CHECK", list, { ...first, result: added.result! })).toMatchObject({
        exitCode: 0,
        stdout: "",
      });
    }
    for (let times = 0; times < 2; times++) {
      expect(await runList(run, "DEL", list, { ...first, result: added.result! })).toMatchObject({
        exitCode: 0,
        stdout: "",
      });
    }
    expect(await node.snapshot()).toEqual(before);
    expect(await runList(run, "DEL", others, { ...second, result: neighbour.result! })).toMatchObject({
      exitCode: 0,
      stdout: "",
    });
  });
});

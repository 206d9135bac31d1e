import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, complaint, detectSlowly, dualStack, hostLocal, macvlan, refusal } from "./configs.ts";
import { Node } from "./harness.ts";
import { reach, tcp, translations } from "./ports.ts";

// What a hostile pod, or a machine outside, must not get by way of port mappings.

describe.each(["nftables", "iptables"])("port mappings by %s", (backend) => {
  const config = (node: Node, more: object = {}) =>
    bridge(node, {
      isDefaultGateway: true,
      capabilities: { portMappings: true },
      backend,
      runtimeConfig: { portMappings: [tcp(8080, 80)] },
      ...more,
    });

  test("open 127.0.0.1 of the node to nobody: a pod reaches it neither by address nor by a source of its own choice", async () => {
    const node = await Node.create();
    const { pod } = await attach(node, config(node));
    await pod.listen(80, { name: "web" });
    await node.listen(9999, { name: "secret", host: "127.0.0.1" });
    expect(await reach(node, "127.0.0.1", 8080)).toMatch(/^web saw /);
    expect(await node.sysctl("net/ipv4/conf/br0/route_localnet")).toBe("1");
    await pod.setSysctl("net/ipv4/conf/eth0/route_localnet", 1);
    await pod.ip("route add 127.0.0.0/8 via 10.9.0.1 table 77");
    await pod.ip("rule add from 10.9.0.2 to 127.0.0.0/8 lookup 77 pref 1");
    await pod.ip("rule del pref 0");
    expect(await reach(pod, "127.0.0.1", 9999, { timeoutMs: 1000 })).not.toContain("secret");
    await node.must(
      "nft",
      "add table ip seen; add chain ip seen in { type filter hook input priority 0; }; add rule ip seen in ip saddr 127.0.0.0/8 iifname br0 counter",
    );
    await pod.ip("address add 127.0.0.5/32 dev eth0");
    await pod.ping("10.9.0.1", { timeoutS: 1, args: ["-I", "127.0.0.5"] });
    expect(await node.must("nft", "list", "table", "ip", "seen")).toContain("packets 0");
  });

  describe("leave nothing of that with the last mapping of the link", () => {
    const localnet = async (node: Node, link = "br0"): Promise<string> =>
      node.sysctl(`net/ipv4/conf/${link}/route_localnet`);
    const mapped = (node: Node, port: number, more: object = {}) =>
      config(node, { runtimeConfig: { portMappings: [tcp(port, 80)] }, ...more });
    /** The network on a bridge of its own. */
    const elsewhere = { name: "other", bridge: "br1" };
    const other = (node: Node, port: number) =>
      mapped(node, port, { ...elsewhere, ipam: hostLocal(node, { subnet: "10.10.0.0/24" }) });

    test("by DEL, whatever leads through other links", async () => {
      const node = await Node.create();
      await attach(node, other(node, 8082));
      const [one, two] = [await attach(node, config(node)), await attach(node, mapped(node, 8081))];
      await node.succeed("DEL", one.call);
      expect(await localnet(node)).toBe("1");
      await node.succeed("DEL", two.call);
      expect([await localnet(node), await localnet(node, "br1")]).toEqual(["0", "1"]);
    });

    test.each<[string, object]>([
      ["of another subnet of the bridge", { isDefaultGateway: false, ipam: { subnet: "10.11.0.0/24" } }],
      ["with conditions", { conditionsV4: backend === "iptables" ? ["-s", "10.0.0.0/8"] : ["ip saddr 10.0.0.0/8"] }],
      ["that masquerade all", { masqAll: true }],
      ["with a mark of their own", { markMasqBit: 5 }],
    ])("not while there are mappings %s", async (_, more: { ipam?: object }) => {
      const node = await Node.create();
      await attach(node, other(node, 8083));
      const two = await attach(node, config(node));
      await node.ip("route add 10.11.0.0/24 dev br0");
      const one = await attach(node, mapped(node, 8081, { ...more, ipam: hostLocal(node, more.ipam) }));
      await node.succeed("DEL", two.call);
      expect(await localnet(node)).toBe("1");
      await node.succeed("DEL", one.call);
      expect([await localnet(node), await localnet(node, "br1")]).toEqual(["0", "1"]);
    });

    test("by DEL that knows nothing but the owner", async () => {
      const node = await Node.create();
      const { call } = await attach(node, config(node));
      rmSync(join(node.dataDir), { recursive: true });
      await node.succeed("DEL", { ...call, config: { ...call.config, runtimeConfig: {}, ipam: {} } });
      expect(await localnet(node)).toBe("0");
    });

    test("by GC, and not before", async () => {
      const node = await Node.create();
      const [kept, lost] = [await attach(node, config(node)), await attach(node, mapped(node, 8081))];
      const collect = async (valid: object[]) =>
        node.succeed("GC", { plugin: "bridge", config: { ...config(node), "cni.dev/valid-attachments": valid } });
      await collect([{ containerID: kept.call.containerId, ifname: "eth0" }]);
      expect([await localnet(node), await translations(node)]).toEqual(["1", expect.not.stringContaining("8081")]);
      await lost.pod.remove();
      await collect([]);
      expect([await localnet(node), await translations(node)]).toEqual(["0", expect.not.stringContaining("8080")]);
    });

    test.each(["DEL", "GC"] as const)("by %s, where a gateway leads to the pod", async (verb) => {
      const node = await Node.create();
      await node.outside();
      await node.ip("route replace default via 192.0.2.2");
      const { call, result } = await attach(node, macvlan(node));
      const portmap = { cniVersion: "1.1.0", name: "net", type: "portmap", backend, prevResult: result };
      const mapping = {
        ...call,
        plugin: "portmap",
        config: { ...portmap, runtimeConfig: { portMappings: [tcp(8080, 80)] } },
      };
      await node.succeed("ADD", mapping);
      expect(await localnet(node, "uplink")).toBe("1");
      await node.succeed(
        verb,
        verb === "DEL" ? mapping : { plugin: "portmap", config: { ...portmap, "cni.dev/valid-attachments": [] } },
      );
      expect([await localnet(node, "uplink"), await translations(node)]).toEqual([
        "0",
        expect.not.stringContaining("8080"),
      ]);
    });

    test("not from under an ADD beside it", async () => {
      const node = await Node.create();
      for (let round = 0, last = await attach(node, config(node)); round < 15; round++) {
        const next = await callFor(node, mapped(node, 8081 + round));
        await Promise.all([node.succeed("DEL", last.call), node.succeed("ADD", next)]);
        expect(await localnet(node)).toBe("1");
        last = { ...last, call: next };
      }
    });

    test("by an ADD that takes the port over", async () => {
      const node = await Node.create();
      const gone = await attach(node, config(node));
      await node.ip(`link delete ${gone.hostVeth}`);
      await attach(node, other(node, 8080));
      expect([await localnet(node), await localnet(node, "br1")]).toEqual(["0", "1"]);
    });

    test.each(["0", "1"])("by an ADD that fails, where it read %s before", async (before) => {
      const node = await Node.create();
      const { hostVeth } = await attach(node, mapped(node, 8081, { runtimeConfig: {} }));
      await node.setSysctl("net/ipv4/conf/br0/route_localnet", before);
      // duplicate address detection takes seconds, before ports are mapped: time to take the record away
      const call = await callFor(node, config(node, { enabledad: true, ipam: dualStack(node) }));
      await detectSlowly(call);
      const adding = node.podwire("ADD", call);
      const record = join(node.dataDir, ".podwire/net", `${call.containerId}:eth0`);
      const link = ({ ifname }: { ifname: string }): boolean => ifname.startsWith("veth") && ifname !== hostVeth;
      await expect.poll(async () => (await node.links()).filter(link)).toHaveLength(1);
      rmSync(record);
      expect(await adding).toMatchObject({ exitCode: 1, error: { code: 11 } });
      expect([await localnet(node), await translations(node)]).toEqual([before, expect.not.stringContaining("8080")]);
    });

    test("and CHECK says that its guard is gone", async () => {
      const node = await Node.create();
      const made = await attach(node, config(node));
      expect(await complaint(node, made)).toBe("");
      await node.must("nft", "delete", "chain", "inet", "podwire", "localhost");
      expect(await complaint(node, made)).toContain("chain localhost: missing");
      await attach(node, mapped(node, 8081));
      expect(await complaint(node, made)).toBe("");
    });
  });

  test.each(["ip saddr 1.2.3.4 # comment", "-s 1.2.3.4 # x"])(
    "take no condition with a comment in it: %s",
    async (condition) => {
      const node = await Node.create();
      const conditions = backend === "iptables" ? ["-m", condition] : [condition];
      expect(await refusal(node, await callFor(node, config(node, { conditionsV4: conditions })))).toMatchObject({
        code: 7,
        msg: expect.stringContaining("conditionsV4") as unknown,
      });
    },
  );
});

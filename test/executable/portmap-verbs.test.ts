import { describe, expect, test } from "vitest";
import { bareEnvironment } from "./configs.ts";
import { loadConf, Node, reference, runList } from "./harness.ts";
import { call, message, mapped, mapping } from "./portmap-calls.ts";

// What portmap says and leaves behind; packets are in portmap.test.ts.

describe("portmap CHECK", () => {
  test.each([
    [
      "an element",
      "nft delete element inet podwire hostports4 { tcp . 8080 }",
      /host port tcp 8080 in map hostports4 is missing/,
    ],
    [
      "a jump",
      "nft flush chain inet podwire hostports-prerouting",
      /chain hostports-prerouting: rule "fib daddr type local jump hostports" is missing/,
    ],
    [
      "the masquerade",
      "nft flush chain inet podwire hostports-postrouting",
      /rule "meta mark & 0x00002000 == 0x00002000 masquerade" is missing/,
    ],
  ])("misses %s", async (_, change, text) => {
    const node = await Node.create();
    await node.succeed("ADD", call());
    await node.succeed("CHECK", call());
    await node.must("sh", "-c", change.replace(/\{.*\}/, "'$&'"));
    expect(message(await node.podwire("CHECK", call()))).toMatch(text);
  });

  test("misses rules of iptables, jumps and marks included", async () => {
    const node = await Node.create();
    const iptables = call({ backend: "iptables" });
    await node.succeed("ADD", iptables);
    await node.succeed("CHECK", iptables);
    await node.must("sh", "-c", "iptables-save -t nat | sed '/--dports/s/-p tcp/-p udp/' | iptables-restore");
    expect(message(await node.podwire("CHECK", iptables))).toMatch(
      /chain CNI-HOSTPORT-DNAT: lacks the rule -p tcp .*--dports 8080/,
    );
    await node.must("sh", "-c", "iptables -t nat -F PREROUTING; iptables -t nat -F CNI-HOSTPORT-SETMARK");
    expect(message(await node.podwire("CHECK", iptables))).toMatch(
      /lacks PREROUTING -m addrtype .*|lacks CNI-HOSTPORT-SETMARK/,
    );
    await node.succeed("ADD", iptables);
    await node.succeed("CHECK", iptables);
  });

  test("needs prevResult", async () => {
    const node = await Node.create();
    expect(message(await node.podwire("CHECK", call({ prevResult: undefined })))).toMatch(/^prevResult is missing/);
  });
});

describe("portmap DEL", () => {
  test.each([
    [
      "a configuration that is wrong everywhere",
      { backend: "x", runtimeConfig: { portMappings: [{ hostPort: -1 }] }, prevResult: undefined },
    ],
    ["a prevResult nobody can read", { prevResult: { cniVersion: "0.1.0", ips: "x" } }],
  ])("works with %s", async (_, more) => {
    const node = await Node.create();
    await node.succeed("ADD", call());
    await node.succeed("DEL", call(more));
    expect(await mapped(node)).toBe("");
  });

  test("leaves the mappings of another interface and of another container", async () => {
    const node = await Node.create();
    const of8081 = { runtimeConfig: { portMappings: [{ ...mapping, hostPort: 8081 }] } };
    await node.succeed("ADD", call());
    await node.succeed("ADD", { ...call(of8081), containerId: "pod-10" });
    await node.succeed("DEL", { ...call(), ifname: "net1" });
    await node.succeed("DEL", { ...call(), ifname: "eth" });
    await node.succeed("DEL", { ...call(), containerId: "pod" });
    expect(await mapped(node)).toMatch(/8080[^]*8081|8081[^]*8080/);
    await node.succeed("DEL", call());
    expect(await mapped(node)).toBe('tcp . 8081 comment "net pod-10 eth0 -" : 10.9.0.5 . 80');
  });

  test.each(["iptables", "nftables"])(
    "removes what the reference made by %s, and the reference what podwire made by iptables",
    async (backend) => {
      const node = await Node.create();
      await node.outside();
      const theirs = call(reference.newest ? { backend } : {}, "1.0.0");
      expect(await node.reference("ADD", theirs)).toMatchObject({ exitCode: 0 });
      await node.succeed("DEL", call());
      const text = async () => `${await node.must("iptables-save", "-t", "nat")}${await node.rulesetText()}`;
      expect(await text()).not.toMatch(/8080|CNI-DN/);
      await node.succeed("ADD", call({ backend: "iptables" }));
      expect(await node.reference("DEL", call(reference.newest ? { backend: "iptables" } : {}, "1.0.0"))).toMatchObject(
        { exitCode: 0 },
      );
      expect(await text()).not.toMatch(/8080|CNI-DN/);
    },
  );
});

describe("portmap GC and STATUS", () => {
  test.each(["nftables", "iptables"])("GC removes lost mappings of its network only (%s)", async (backend) => {
    const node = await Node.create();
    for (const [index, name] of ["net", "net", "net2"].entries()) {
      await node.succeed("ADD", {
        ...call({ name, backend, runtimeConfig: { portMappings: [{ ...mapping, hostPort: 8080 + index }] } }),
        containerId: `pod-${index}`,
      });
    }
    const valid = { "cni.dev/valid-attachments": [{ containerID: "pod-0", ifname: "eth0" }] };
    await node.succeed("GC", {
      plugin: "portmap",
      config: { cniVersion: "1.1.0", name: "net", type: "portmap", backend, ...valid },
    });
    const left = `${await mapped(node)}${await node.must("iptables-save", "-t", "nat")}`;
    expect([8080, 8081, 8082].map((port) => left.includes(`${port}`))).toEqual([true, false, true]);
  });

  test("STATUS changes nothing and answers 50 when the tool is missing", async () => {
    const node = await Node.create();
    const status = { plugin: "portmap", config: { cniVersion: "1.1.0", name: "net", type: "portmap" } };
    await node.succeed("STATUS", status);
    expect(await node.ruleset()).toEqual([]);
    expect(
      (
        await node.podwire("STATUS", {
          ...status,
          config: { ...status.config, backend: "iptables" },
          env: bareEnvironment(),
        })
      ).error?.code,
    ).toBe(50);
  });
});

test.each(["nftables", "iptables"])(
  "many at once leave one of each shared rule, and nothing of their own (%s)",
  async (backend) => {
    const node = await Node.create();
    const calls = Array.from({ length: 12 }, (_, index) => ({
      ...call({ backend, runtimeConfig: { portMappings: [{ ...mapping, hostPort: 8000 + index }] } }),
      containerId: `pod-${index}`,
    }));
    await Promise.all(calls.map(async (each) => node.succeed("ADD", each)));
    await Promise.all(calls.map(async (each) => node.succeed("CHECK", each)));
    await Promise.all(calls.map(async (each) => node.succeed("DEL", each)));
    const rules = (await node.must("iptables-save", "-t", "nat")).split("\n").filter((line) => line.startsWith("-A"));
    expect(rules.filter((rule, at) => rules.indexOf(rule) !== at)).toEqual([]);
    expect(`${rules.join()}${await mapped(node)}`).not.toMatch(/80\d\d/);
  },
);

test("kind's own list works as kind runs it: DEL with neither result nor mappings", async () => {
  const node = await Node.create();
  const outside = await node.outside();
  const list = loadConf("kindnet.conflist");
  (list.plugins[0]!.ipam as { dataDir: string }).dataDir = node.dataDir;
  const pod = await node.pod();
  const to = { containerId: "pod-1", netns: pod };
  const add = await runList((verb, each) => node.podwire(verb, each), "ADD", list, {
    ...to,
    capabilities: { portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: "tcp" }] },
  });
  expect(add.result?.cniVersion).toBe("0.3.1");
  await pod.listen(80, { name: "web" });
  expect((await outside.connect(outside.node4, 8080)).server).toBe("web");
  expect(await runList((verb, each) => node.podwire(verb, each), "DEL", list, to)).toMatchObject({ exitCode: 0 });
  expect(await mapped(node)).toBe("");
  expect(node.leases()).toEqual({});
});

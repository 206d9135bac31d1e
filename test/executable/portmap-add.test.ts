import { describe, expect, test } from "vitest";
import { bareEnvironment, versions } from "./configs.ts";
import { Node } from "./harness.ts";
import { previous, call, message, mapped, mapping } from "./portmap-calls.ts";

// What portmap's ADD maps, says and refuses; packets are in portmap.test.ts.

describe("portmap ADD", () => {
  test.each(versions)("prints the earlier result unchanged: %s", async (version) => {
    const node = await Node.create();
    const { result } = await node.succeed("ADD", call({}, version));
    expect(result).toEqual(previous(version));
    expect(await mapped(node)).toContain("tcp . 8080");
  });

  test.each(["nftables", "iptables"])("takes a whole range of ports: %s", async (backend) => {
    const node = await Node.create();
    const range = call({
      backend,
      runtimeConfig: {
        portMappings: Array.from({ length: 2000 }, (_, at) => ({
          hostPort: 10_000 + at,
          containerPort: 10_000 + at,
          protocol: at % 2 ? "tcp" : "udp",
        })),
      },
    });
    await node.succeed("ADD", range);
    const rules = backend === "nftables" ? await mapped(node) : await node.must("iptables-save", "-t", "nat");
    expect(rules.match(/10\.9\.0\.5( \. |:)1\d{4}\b/g)).toHaveLength(2000);
    await node.succeed("CHECK", range);
    await node.succeed("DEL", {
      ...range,
      config: { ...range.config, runtimeConfig: undefined, prevResult: undefined },
    });
    expect((await node.must("nft", "list", "ruleset")).match(/1\d{4}/g)).toBe(null);
  });

  test("reads the keys as containerd spells them", async () => {
    const node = await Node.create();
    await node.succeed(
      "ADD",
      call({
        runtimeConfig: {
          portMappings: [
            { HostPort: 8080, ContainerPort: 80, Protocol: "TCP", HostIP: "" },
            { HostPort: 53, ContainerPort: 54, Protocol: "udp", HostIP: "192.0.2.1" },
          ],
        },
      }),
    );
    expect(await mapped(node)).toBe('tcp . 8080 comment "net pod-1 eth0 -" : 10.9.0.5 . 80');
    expect(await mapped(node, "hostiptargets4")).toBe(
      '192.0.2.1 . udp . 53 comment "net pod-1 eth0 -" : 10.9.0.5 . 54',
    );
  });

  test.each([undefined, -1, 7])("an address of interface %s, which is none, is the container's", async (at) => {
    const node = await Node.create();
    const prevResult = { ...previous("1.1.0"), ips: [{ address: "10.9.0.5/24", interface: at }] };
    const { result } = await node.succeed("ADD", call({ prevResult }));
    expect(result).toEqual(JSON.parse(JSON.stringify(prevResult)));
    expect(await mapped(node)).toContain("10.9.0.5 . 80");
  });

  test.each([
    ["no runtimeConfig", { runtimeConfig: undefined }],
    ["an empty list", { runtimeConfig: { portMappings: [] } }],
    ["null", { runtimeConfig: { portMappings: null } }],
    ["mappings of the other family only", { runtimeConfig: { portMappings: [{ ...mapping, hostIP: "::" }] } }],
    [
      "no address of this interface",
      {
        prevResult: {
          ...previous("1.1.0"),
          interfaces: [{ name: "up0" }, { name: "net1", sandbox: "/run/netns/pod" }],
        },
      },
    ],
  ])("touches nothing when there is nothing to map: %s", async (_, more) => {
    const node = await Node.create();
    const { result } = await node.succeed("ADD", call(more));
    expect(result?.ips).toHaveLength(1);
    expect(await node.ruleset()).toEqual([]);
  });

  test.each([
    ["an address without an interface", { ips: [{ address: "10.9.0.7/24" }] }, "10.9.0.7"],
    ["an address of an interface that is not listed", { ips: [{ address: "10.9.0.8/24", interface: 9 }] }, "10.9.0.8"],
    [
      "the first of two",
      {
        ips: [
          { address: "10.9.0.7/24", interface: 1 },
          { address: "10.9.0.8/24", interface: 1 },
        ],
      },
      "10.9.0.7",
    ],
    [
      "not one of the host's",
      {
        ips: [
          { address: "10.9.0.7/24", interface: 0 },
          { address: "10.9.0.8/24", interface: 1 },
        ],
      },
      "10.9.0.8",
    ],
  ])("maps to %s", async (_, more, address) => {
    const node = await Node.create();
    await node.succeed("ADD", call({ prevResult: { ...previous("1.1.0"), ...more } }));
    expect(await mapped(node)).toContain(`${address} . 80`);
  });

  test.each([
    ["no prevResult", { prevResult: undefined }, 7, /^prevResult is missing: portmap must be called after a plugin/],
    [
      "wrong ports",
      { runtimeConfig: { portMappings: [{ hostPort: 0, containerPort: 70000, protocol: "tcp" }] } },
      7,
      /portMappings\[0\]\.hostPort is 0, must be a whole number from 1 to 65535; .*containerPort is 70000, must be/,
    ],
    [
      "a wrong protocol",
      { runtimeConfig: { portMappings: [{ ...mapping, protocol: "icmp" }] } },
      7,
      /portMappings\[0\]\.protocol is "icmp", must be tcp, udp or sctp/,
    ],
    [
      "a hostIP that is no address",
      { runtimeConfig: { portMappings: [{ ...mapping, hostIP: "localhost" }] } },
      7,
      /portMappings\[0\]\.hostIP is "localhost", must be an IP address/,
    ],
    ["an unknown backend", { backend: "" }, 7, /backend is "", must be "nftables" or "iptables"/],
    ["a wrong mark", { markMasqBit: 32 }, 7, /markMasqBit is 32, must be a whole number from 0 to 31/],
    [
      "mark and chain",
      { markMasqBit: 3, externalSetMarkChain: "X" },
      7,
      /markMasqBit is 3, must not come together with externalSetMarkChain/,
    ],
    [
      "iptables keys for nftables",
      { backend: "nftables", externalSetMarkChain: "X", conditionsV4: ["-s", "1.2.3.4"] },
      7,
      /externalSetMarkChain is "X", must not .*conditionsV4 is \["-s","1\.2\.3\.4"\], must be text in nft's language/,
    ],
    [
      "nft text for iptables",
      { backend: "iptables", conditionsV6: ["ip6 saddr ::1"] },
      7,
      /conditionsV6 is .*must be arguments of iptables/,
    ],
    [
      "a condition on two lines",
      { conditionsV4: ["ip saddr 1.2.3.4\nflush ruleset"] },
      7,
      /conditionsV4\[0\] is .*must be text on one line/,
    ],
    [
      "a condition of two commands",
      { conditionsV4: ["ip saddr 1.2.3.4; flush ruleset"] },
      7,
      /conditionsV4 is .*must be without ; and # in nft's language/,
    ],
    ["text nft does not read", { conditionsV4: ["nonsense"] }, 7, /^nft does not accept conditionsV4 \["nonsense"\]/],
    [
      "a chain that is not there",
      { externalSetMarkChain: "MISSING" },
      7,
      /^externalSetMarkChain: table nat has no chain "MISSING"/,
    ],
  ])("refuses %s", async (_, more, code, text) => {
    const node = await Node.create();
    const answer = await node.podwire("ADD", call(more));
    expect(message(answer)).toMatch(text);
    expect(answer.error?.code).toBe(code);
    expect(await node.must("iptables-save")).not.toContain("8080");
    expect(await mapped(node)).toBe("");
  });

  test.each(["ADD", "DEL"] as const)(
    "and DEL refuse the node's own namespace before they do anything: %s",
    async (verb) => {
      const node = await Node.create();
      if (verb === "DEL") await node.succeed("ADD", call());
      const before = await node.ruleset();
      expect(before.length > 0).toBe(verb === "DEL");
      expect((await node.podwire(verb, { ...call(), netns: node.path })).error?.code).toBe(8);
      expect(await node.ruleset()).toEqual(before);
    },
  );

  test("needs no tool with nftables, and names the one that is missing with iptables", async () => {
    const node = await Node.create();
    const env = bareEnvironment();
    await node.succeed("ADD", { ...call(), env });
    expect(message(await node.podwire("ADD", { ...call({ backend: "iptables" }), containerId: "pod-2", env }))).toMatch(
      /^cannot find iptables-save in PATH \(/,
    );
  });
});

describe("portmap conditions", () => {
  test("in nft's language stand in front of the mappings of their network only", async () => {
    const node = await Node.create();
    const outside = await node.outside();
    const conditional = call({ conditionsV4: ["ip", "saddr", "!=", "192.0.2.2"] });
    await node.succeed("ADD", conditional);
    await node.succeed("CHECK", conditional);
    await node.succeed("ADD", {
      ...call({ name: "net2", runtimeConfig: { portMappings: [{ ...mapping, hostPort: 8081 }] } }),
      containerId: "pod-2",
    });
    expect(await node.rulesetText()).toMatch(
      /chain hostport-10\.9\.0\.0\/24-if-[0-9a-f]{8} \{\s+ip saddr != 192\.0\.2\.2 jump hostport-10\.9\.0\.0\/24/,
    );
    await node.ip("address add 10.9.0.5/32 dev lo");
    await node.listen(80, { name: "pod" });
    const tell = async (port: number) =>
      outside.connect(outside.node4, port).then(
        ({ server }) => server,
        (error: Error) => error.message,
      );
    expect([await tell(8080), await tell(8081)]).toEqual(["ECONNREFUSED", "pod"]);
    // without nft: the chain is there already
    await node.succeed("ADD", {
      ...call({
        conditionsV4: ["ip", "saddr", "!=", "192.0.2.2"],
        runtimeConfig: { portMappings: [{ ...mapping, hostPort: 8082 }] },
      }),
      containerId: "pod-3",
      env: bareEnvironment(),
    });
  });

  test("as iptables arguments, and a chain of one's own for the mark, choose iptables by themselves", async () => {
    const node = await Node.create();
    await node.must("iptables", "-t", "nat", "-N", "MY-MARK");
    const words = ["-m", "comment", "--comment", 'a; b "c" \\'];
    const keys = { conditionsV4: ["!", "-s", "192.0.2.2", ...words], externalSetMarkChain: "MY-MARK" };
    await node.succeed("ADD", call(keys));
    const saved = await node.must("iptables-save", "-t", "nat");
    expect(saved).toContain(String.raw`-m comment --comment "a; b \"c\" \\" -j CNI-DN-`);
    expect(saved).toMatch(/-A CNI-HOSTPORT-DNAT ! -s 192\.0\.2\.2\/32 -p tcp .*--dports 8080 .*-j CNI-DN-/);
    expect(saved).toMatch(/--dport 8080 -j MY-MARK/);
    expect(saved).not.toContain("CNI-HOSTPORT-MASQ");
    await node.succeed("CHECK", call(keys));
    await node.succeed("DEL", call(keys));
    expect(await node.must("iptables-save", "-t", "nat")).not.toContain("8080");
  });
});

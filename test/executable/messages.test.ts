import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { environment } from "../harness/invoke.ts";
import { attach, bridge, callFor, type Config, hostLocal, macvlan, ptp, refusal, v4, v6 } from "./configs.ts";
import { type Call, Node, podwireFolder } from "./harness.ts";

// What an operator reads when a network is written wrong or a limit of Linux is met: the specification's code, the key.

const ipv6 = (node: Node): object => hostLocal(node, v6);
const routed = (node: Node, gw: string): object => hostLocal(node, { ...v4, routes: [{ dst: "1.0.0.0/8", gw }] });

describe("refused before anything is touched, by key", () => {
  const cases: [string, (node: Node) => Config, { code: number; msg: RegExp }, string?][] = [
    [
      "an MTU no link has",
      (node) => bridge(node, { mtu: 67 }),
      { code: 7, msg: /mtu is 67, must be from 68 to 65535/ },
    ],
    ["an MTU no link has", (node) => ptp(node, { mtu: 10 }), { code: 7, msg: /mtu is 10, must be from 68 to 65535/ }],
    [
      "an MTU that carries no IPv6",
      (node) => bridge(node, { mtu: 1279, ipam: ipv6(node) }),
      { code: 7, msg: /mtu is 1279, must be at least 1280 for IPv6 addresses: IPAM gave fd00:9::2\/64/ },
    ],
    [
      "an MTU that carries no IPv6",
      (node) => ptp(node, { mtu: 68, ipam: ipv6(node) }),
      { code: 7, msg: /mtu is 68.*1280/ },
    ],
    [
      "a group's MAC",
      (node) => bridge(node, { runtimeConfig: { mac: "01:00:5e:00:00:01" } }),
      { code: 7, msg: /runtimeConfig\.mac is/ },
    ],
    [
      "no MAC",
      (node) => bridge(node, { args: { cni: { mac: "00:00:00:00:00:00" } } }),
      { code: 7, msg: /args\.cni\.mac is/ },
    ],
    [
      "everybody's MAC",
      (node) => bridge(node),
      { code: 4, msg: /CNI_ARGS: MAC is "ff:ff:ff:ff:ff:ff"/ },
      "MAC=ff:ff:ff:ff:ff:ff",
    ],
    [
      "a prefix longer than the address",
      (node) => bridge(node, { ipam: hostLocal(node, { subnet: "10.9.0.0/33" }) }),
      { code: 7, msg: /ipam\.subnet is "10\.9\.0\.0\/33".*from 0 to 32/ },
    ],
    [
      "a prefix longer than the address",
      (node) => bridge(node, { ipam: hostLocal(node, { subnet: "fd00::/129" }) }),
      { code: 7, msg: /ipam\.subnet is "fd00::\/129".*from 0 to 128/ },
    ],
  ];

  test.each(cases)("%s", async (_what, config, { code, msg }, args) => {
    const node = await Node.create();
    const before = await node.snapshot();
    const call = await callFor(node, config(node), args ? { args } : {});
    expect(await refusal(node, call)).toMatchObject({ code, msg: expect.stringMatching(msg) as unknown });
    expect(await node.snapshot()).toEqual(before);
    expect(readdirSync(node.dataDir).flatMap((name) => readdirSync(join(node.dataDir, name)))).not.toContain(
      "fd00:9::2",
    );
  });

  test.each([
    ["bridge", bridge],
    ["ptp", ptp],
  ])("%s: all wrong keys in one error, those that are wrong beside others too", async (_plugin, config) => {
    const node = await Node.create();
    const ports = { backend: "nft", markMasqBit: 32, externalSetMarkChain: "KUBE-MARK-MASQ" };
    const capabilities = { portMappings: true };
    const wrong = { mtu: 67, ipMasq: true, ipMasqBackend: "nft", enabledad: "yes", capabilities, ...ports };
    const ipam = hostLocal(node, { ...v4, rangeEnd: "10.8.0.9", routes: [{ dst: "10.0.0.0/99" }] });
    const { code, msg } = await refusal(node, await callFor(node, config(node, { ...wrong, ipam })));
    expect(code).toBe(7);
    for (const key of ["mtu is 67", "ipMasqBackend is", "enabledad is", "backend is", "markMasqBit is"]) {
      expect(msg).toContain(key);
    }
    for (const key of ["ipam.routes[0].dst is", "ipam.rangeEnd is"]) expect(msg).toContain(key);
    expect(msg).not.toContain("externalSetMarkChain is");
  });

  test.each(["all", "default", "eth%d"])("CNI_IFNAME %s, by which no link can be made", async (ifname) => {
    const node = await Node.create();
    await node.outside(); // has the uplink
    const before = await node.snapshot();
    for (const config of [bridge(node), ptp(node), macvlan(node), { ...macvlan(node), type: "tap" }]) {
      const call = await callFor(node, config, { ifname });
      expect(await refusal(node, call)).toMatchObject({ code: 4, msg: expect.stringContaining(ifname) as unknown });
    }
    expect(await node.snapshot()).toEqual(before);
    expect(readdirSync(node.dataDir)).toEqual([]);
  });

  test("a folder in place of a namespace is not called a file", async () => {
    const node = await Node.create();
    const { msg } = await refusal(node, await callFor(node, bridge(node), { netns: "/run/netns" }));
    expect(msg).toMatch(/^CNI_NETNS "\/run\/netns" is not a network namespace/);
  });

  test("the smallest MTUs there are", async () => {
    const node = await Node.create();
    const { pod } = await attach(node, bridge(node, { mtu: 68 }));
    expect((await pod.link("eth0"))?.mtu).toBe(68);
    const other = await attach(node, ptp(node, { name: "six", mtu: 1280, ipam: ipv6(node) }));
    expect((await other.pod.link("eth0"))?.mtu).toBe(1280);
  });
});

describe("what only the kernel knows", () => {
  test.each(["172.16.0.1", "10.8.0.1"])(
    "a route whose gateway %s nothing leads to: code 7, ipam.routes",
    async (gw) => {
      const node = await Node.create();
      const call = await callFor(node, bridge(node, { ipam: routed(node, gw) }));
      expect(await refusal(node, call)).toMatchObject({
        code: 7,
        msg: expect.stringMatching(`ipam.routes: nothing leads to the gateway: .*1.0.0.0/8 via ${gw}`) as unknown,
      });
      expect(readdirSync(join(node.dataDir, "net"))).not.toContain("10.9.0.2");
    },
  );

  const given = { type: "static", addresses: [{ address: "10.9.0.2/24", gateway: "10.9.0.1" }] };
  const attached = "cannot attach eth0: container container-.* is attached to network net by it already";

  test.each<[string, (node: Node) => Config, string]>([
    ["bridge", bridge, "10\\.9\\.0\\.2 has been allocated"],
    ["bridge without IPAM", (node) => bridge(node, { ipam: undefined }), attached],
    ["bridge with static addresses", (node) => bridge(node, { ipam: given }), attached],
    ["ptp with static addresses", (node) => ptp(node, { ipam: given }), attached],
    ["macvlan with static addresses", (node) => macvlan(node, { master: "up0", ipam: given }), attached],
    ["tap without IPAM", () => ({ cniVersion: "1.1.0", name: "net", type: "tap" }), attached],
  ])("a second ADD of %s: code 4, naming CNI_CONTAINERID and CNI_IFNAME", async (_what, config, words) => {
    const node = await Node.create();
    await node.ip("link add up0 up type veth peer name far0");
    const { call } = await attach(node, config(node));
    expect(await refusal(node, call)).toMatchObject({
      code: 4,
      msg: expect.stringMatching(new RegExp(`${words}.*CNI_CONTAINERID and CNI_IFNAME`)) as unknown,
    });
  });

  test("a bridge that is full: code 11, naming it, and nothing is left", async () => {
    const node = await Node.create();
    const lines = Array.from({ length: 1023 }, (_, n) => `link add p${n} master br0 type veth peer name q${n}`);
    writeFileSync(join(node.dataDir, "batch"), ["link add br0 type bridge", ...lines].join("\n"));
    await node.must("ip", "-batch", join(node.dataDir, "batch"));
    expect(await refusal(node, await callFor(node, bridge(node)))).toMatchObject({
      code: 11,
      msg: expect.stringContaining("bridge br0 has 1023 ports") as unknown,
      details: expect.stringContaining("EXFULL") as unknown,
    });
    expect(readdirSync(join(node.dataDir, "net"))).not.toContain("10.9.0.2");
  });

  test.each([
    ["bridge", bridge],
    ["ptp", ptp],
  ] as const)("%s: a kernel without IPv6 is named, not a file of its", async (_what, make) => {
    const node = await Node.create();
    const call = await callFor(node, make(node, { ipam: ipv6(node) }));
    const error = await withoutIpv6(node, call);
    expect(error).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/IPAM gave IPv6 addresses: .*(the|this) kernel has no/) as unknown,
    });
  });

  test.each([
    ["bridge", bridge],
    ["ptp", ptp],
  ] as const)("%s: a node with IPv6 switched off is named, and the sysctl", async (_what, make) => {
    const node = await Node.create();
    for (const which of ["all", "default"]) await node.setSysctl(`net/ipv6/conf/${which}/disable_ipv6`, 1);
    const error = await refusal(node, await callFor(node, make(node, { isGateway: true, ipam: ipv6(node) })));
    expect(error).toMatchObject({ code: 7, msg: expect.stringMatching(/IPv6 is switched off by sysctl/) as unknown });
    const links = (await node.links()).map(({ ifname }) => ifname);
    expect([links.filter((name) => name !== "br0"), node.leases()]).toEqual([["lo"], {}]);
  });

  /** The error of an ADD that sees no /proc/sys/net/ipv6, as on a kernel without IPv6. */
  async function withoutIpv6(node: Node, call: Call): Promise<unknown> {
    const empty =
      'for side in "$CNI_NETNS" /proc/self/ns/net; do nsenter --net="$side" mount -t tmpfs none /proc/sys/net/ipv6; done; exec "$0"';
    const { stdout } = await node.run(
      "unshare",
      ["--mount", "--propagation", "private", "sh", "-c", empty, join(podwireFolder(), call.plugin)],
      { env: environment(podwireFolder(), "ADD", call), input: JSON.stringify(call.config) },
    );
    return JSON.parse(stdout);
  }
});

describe("the log", () => {
  test("that cannot be written is complained of once", async () => {
    const node = await Node.create();
    const env = { PODWIRE_LOG: "/nonexistent/folder/log" };
    const call = await callFor(node, bridge(node, { mtu: "big", vlan: "x", isGateway: 3 }), { env });
    const { stderr } = await node.podwire("DEL", call);
    expect(stderr.match(/cannot write the log/g)).toHaveLength(1);
  });

  test("names every wrong key a DEL went on without", async () => {
    const node = await Node.create();
    const log = join(node.dataDir, "log");
    const wrong = { mtu: "big", vlan: "x", isGateway: 3, bridge: "a/b", dns: { nameservers: "none" } };
    await node.succeed("DEL", await callFor(node, bridge(node, wrong), { env: { PODWIRE_LOG: log } }));
    for (const key of ["mtu", "vlan", "isGateway", "bridge", "dns.nameservers"]) {
      expect(readFileSync(log, "utf8")).toContain(`ignored in the configuration: ${key} is`);
    }
  });
});

describe("leases", () => {
  test("one rewritten in place is the new holder's: its CHECK finds it, its DEL frees it", async () => {
    const node = await Node.create();
    const config = bridge(node);
    await attach(node, config);
    const lease = join(node.dataDir, "net", "10.9.0.2");
    writeFileSync(lease, "somebody\r\neth0");
    await node.succeed("DEL", { plugin: "bridge", config, containerId: "somebody", ifname: "eth0" });
    expect(readdirSync(join(node.dataDir, "net"))).not.toContain("10.9.0.2");
  });

  test("a lock whose holder has ended and left it to a child is not of another pid namespace", async () => {
    const node = await Node.create();
    mkdirSync(join(node.dataDir, "net"), { recursive: true });
    const lock = join(node.dataDir, "net", "lock");
    const holding = 'exec 9>"$0"; flock 9; sleep 300 >/dev/null 2>&1 & echo $!';
    const child = (await node.must("sh", "-c", holding, lock)).trim();
    try {
      const { msg } = await refusal(node, await callFor(node, bridge(node)));
      expect(msg).toMatch(/process \d+, which has ended and left it to one that it started/);
    } finally {
      process.kill(Number(child));
    }
  });
});

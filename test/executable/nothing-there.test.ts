import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { environment } from "../harness/invoke.ts";
import { root } from "../harness/paths.ts";
import { attach, bridge, callFor, type Config, hostDevice, hostLocal, macvlan, ptp } from "./configs.ts";
import { wire } from "./chained.ts";
import { DhcpScene, socketOf } from "./dhcp.ts";
import { type Call, Node, podwireFolder, temporaryFolder, type Verb } from "./harness.ts";
import { tcp } from "./ports.ts";

// DEL succeeds where there is nothing of the attachment, however little podwire may do there; where there is something
// it says so. STATUS says where ADD cannot work.

const ports = { capabilities: { portMappings: true }, runtimeConfig: { portMappings: [tcp(8080, 80)] } };
const fixed = { type: "static", addresses: [{ address: "10.9.0.20/24" }] };
const unattended = (node: Node): object => ({ type: "dhcp", daemonSocketPath: socketOf(node), dataDir: node.dataDir });
const plugins: [string, (node: Node) => Config][] = [
  ["bridge", (node) => bridge(node, { ipMasq: true, ...ports })],
  ["bridge without IPAM", (node) => bridge(node, { ipam: {} })],
  ["ptp", (node) => ptp(node, { ipMasq: true })],
  ["host-local", (node) => ({ cniVersion: "1.1.0", name: "net", type: "host-local", ipam: hostLocal(node) })],
  ["static", () => ({ cniVersion: "1.1.0", name: "net", type: "static", ipam: fixed })],
  ["dhcp", (node) => ({ cniVersion: "1.1.0", name: "net", type: "dhcp", ipam: unattended(node) })],
  ["macvlan", (node) => macvlan(node, { master: "gone" })],
  ["macvlan with dhcp", (node) => macvlan(node, { master: "gone", ipam: unattended(node) })],
  ["host-device", (node) => hostDevice(node, { device: "gone" })],
  ["tap", (node) => ({ cniVersion: "1.1.0", name: "net", type: "tap", bridge: "gone", ipam: hostLocal(node) })],
  ["sbr", () => ({ cniVersion: "1.1.0", name: "net", type: "sbr" })],
  ["portmap", () => ({ cniVersion: "1.1.0", name: "net", type: "portmap", ...ports })],
  ["firewall", () => ({ cniVersion: "1.1.0", name: "net", type: "firewall", ingressPolicy: "isolated" })],
  ["bandwidth", () => ({ cniVersion: "1.1.0", name: "net", type: "bandwidth", egressRate: 8e6, egressBurst: 8e6 })],
  ["loopback", () => ({ cniVersion: "1.1.0", name: "net", type: "loopback" })],
  ["tuning", (node) => ({ cniVersion: "1.1.0", name: "net", type: "tuning", dataDir: node.dataDir, mtu: 1400 })],
];

/** A verb by a command that takes something from podwire first. */
async function by(
  [program, ...args]: string[],
  node: Node,
  verb: Verb,
  call: Call,
): Promise<{ exitCode: number; stdout: string }> {
  const folder = podwireFolder();
  const { exitCode, stdout } = await node.run(program!, [...args, join(folder, call.plugin)], {
    env: environment(folder, verb, call),
    input: JSON.stringify(call.config),
  });
  return { exitCode: exitCode ?? -1, stdout };
}

const del = async (node: Node, call: Call, command: string[]) => by(command, node, "DEL", call);
const call = (config: Config): Call => ({ plugin: config.type, config, containerId: "never", ifname: "eth0" });
const weak = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
/** Everything of /var/lib and of the leases can be read and not written. */
const readOnly = (node: Node): string[] => [
  "unshare",
  "--mount",
  "--propagation",
  "private",
  "sh",
  "-c",
  'for path in /var/lib "$0"; do mount --bind "$path" "$path"; mount -o remount,bind,ro "$path"; done; exec "$@"',
  node.dataDir,
];

/** What a kernel without netfilter's netlink has not. */
const withoutNftables = [process.execPath, "--import", "tsx", join(root, "test/fault/without.ts")];

describe.each(plugins)("DEL of nothing, %s", (_what, config) => {
  test("where there is no nftables", async () => {
    const node = await Node.create();
    const pods = { ...call(config(node)), netns: await node.pod() };
    expect(await del(node, pods, withoutNftables)).toEqual({ exitCode: 0, stdout: "" });
    expect(await del(node, call(config(node)), withoutNftables)).toEqual({ exitCode: 0, stdout: "" });
  });

  test("without CAP_NET_ADMIN", async () => {
    const node = await Node.create();
    const pods = { ...call(config(node)), netns: await node.pod() };
    expect(await del(node, pods, weak)).toEqual({ exitCode: 0, stdout: "" });
    expect(await del(node, call(config(node)), weak)).toEqual({ exitCode: 0, stdout: "" });
  });

  test("as an ordinary user", async () => {
    const node = await Node.create();
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    chmodSync(node.dataDir, 0o755);
    const given = config(node);
    // elsewhere may be records of other pods, which are for root alone
    const own = given.ipam ? { ...given, ipam: { ...given.ipam, dataDir: node.dataDir } } : given;
    expect(await del(node, call(own), nobody)).toEqual({ exitCode: 0, stdout: "" });
  });

  test.each(["no folder of the network", "a folder of the network"])("on a read-only disk, %s", async (there) => {
    const node = await Node.create();
    if (there.startsWith("a ")) mkdirSync(join(node.dataDir, "net"), { recursive: true });
    expect(await del(node, call(config(node)), readOnly(node))).toEqual({ exitCode: 0, stdout: "" });
  });
});

describe("DEL when namespace, master, daemon and prevResult are gone", () => {
  const leftOf = (node: Node): string[] =>
    Object.keys(node.leases({ all: true })).filter((path) =>
      /^(net\/[0-9a-f]|\.podwire\/net\/[^.]|cni\/.*leases\/[^.])/.test(path),
    );

  test.each<[string, (node: Node) => Config]>([
    ["macvlan", (node) => macvlan(node)],
    ["macvlan with static", (node) => macvlan(node, { ipam: { ...fixed, dataDir: node.dataDir } })],
    ["host-device", (node) => hostDevice(node, { device: "uplink" })],
    ["tap", (node) => ({ cniVersion: "1.1.0", name: "net", type: "tap", owner: 0, ipam: hostLocal(node) })],
  ])("%s", async (_plugin, config) => {
    const node = await Node.create();
    await node.outside();
    const { call: attached, pod } = await attach(node, config(node));
    expect(leftOf(node)).not.toEqual([]);
    await pod.remove();
    if (await node.link("uplink")) await node.ip("link delete uplink");
    for (const netns of [pod.path, ""]) {
      expect(await node.podwire("DEL", { ...attached, netns })).toMatchObject({ exitCode: 0, stdout: "" });
    }
    expect(leftOf(node)).toEqual([]);
  });

  test.each(["with a daemon", "without one"])("macvlan with dhcp, %s", async (which) => {
    const scene = await DhcpScene.make();
    const { node } = scene;
    await scene.dnsmasq();
    const daemon = await scene.daemon();
    const { call: attached, pod } = await attach(node, macvlan(node, { ipam: unattended(node) }));
    if (which === "without one") await daemon.stop();
    await pod.remove();
    await node.ip("link delete uplink");
    for (const netns of [pod.path, ""]) {
      expect(await node.podwire("DEL", { ...attached, netns })).toMatchObject({ exitCode: 0, stdout: "" });
    }
    expect([leftOf(node), scene.kept()]).toEqual([[], []]);
  });

  test("sbr", async () => {
    const node = await Node.create();
    await node.outside();
    const { call: attached, pod, result } = await attach(node, macvlan(node));
    const config = { cniVersion: "1.1.0", name: "net", type: "sbr" };
    const given = { ...(await callFor(node, config, { netns: pod })), containerId: attached.containerId! };
    await node.succeed("ADD", { ...given, config: { ...config, prevResult: result } });
    await pod.remove();
    for (const netns of [pod.path, ""]) {
      expect(await node.podwire("DEL", { ...given, netns })).toMatchObject({ exitCode: 0, stdout: "" });
    }
    expect(existsSync(pod.path)).toBe(false);
  });
});

describe("DEL of something", () => {
  test.each<[string, (node: Node) => Config]>([
    ["bridge", (node) => bridge(node, { isGateway: true })],
    ["ptp", ptp],
  ])("where there is no nftables: %s", async (_plugin, config) => {
    const node = await Node.create();
    const before = (await node.links()).map(({ ifname }) => ifname);
    const { call: attached } = await attach(node, config(node));
    expect(await del(node, attached, withoutNftables)).toEqual({ exitCode: 0, stdout: "" });
    const left = (await node.links()).map(({ ifname }) => ifname).filter((name) => name !== "br0");
    expect([left, node.leases()]).toEqual([before, {}]);
  });

  test("says that it may not delete the link", async () => {
    const node = await Node.create();
    const { call: attached, hostVeth } = await attach(node, bridge(node));
    const { exitCode, stdout } = await del(node, attached, weak);
    expect(exitCode).toBe(1);
    expect(stdout).toContain(`cannot delete link ${hostVeth}`);
    await node.succeed("DEL", attached);
  });

  test("says that it cannot free the lease, and does once it can", async () => {
    const node = await Node.create();
    const { call: attached } = await attach(node, bridge(node));
    const { exitCode, stdout } = await del(node, attached, readOnly(node));
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/cannot release the addresses.*EROFS/);
    expect(readdirSync(join(node.dataDir, "net"))).toContain("10.9.0.2");
    await node.succeed("DEL", attached);
    expect(readdirSync(join(node.dataDir, "net"))).not.toContain("10.9.0.2");
  });
});

describe("STATUS is 50, and ADD fails and leaves nothing,", () => {
  const wired: [string, (node: Node) => Config][] = [
    ["bridge", bridge],
    ["ptp", ptp],
    ["macvlan", macvlan],
    ["tap", (node) => ({ cniVersion: "1.1.0", name: "net", type: "tap", ipam: hostLocal(node) })],
  ];
  describe.each(["net_admin", "sys_admin"])("without CAP_%s", (capability) => {
    test.each(wired)("%s", async (_what, config) => {
      const node = await Node.create();
      await node.outside();
      const lacking = ["setpriv", "--bounding-set", `-${capability}`, "--inh-caps", `-${capability}`];
      const asked = { ...call(config(node)), netns: await node.pod() };
      await node.succeed("STATUS", asked);
      const before = await node.snapshot();
      const status = await by(lacking, node, "STATUS", asked);
      expect(JSON.parse(status.stdout || "{}")).toMatchObject({
        code: 50,
        msg: expect.stringContaining(`CAP_${capability.toUpperCase()}`),
      });
      const added = await by(lacking, node, "ADD", asked);
      expect(JSON.parse(added.stdout)).toMatchObject({
        msg: expect.stringContaining(`CAP_${capability.toUpperCase()}`),
      });
      expect(await node.snapshot()).toEqual(before);
    });
  });

  const kinds: [string, (node: Node) => Config][] = [
    ["ipMasq", (node) => bridge(node, { ipMasq: true })],
    ["macspoofchk", (node) => bridge(node, { macspoofchk: true })],
    ["port mappings", (node) => ptp(node, ports)],
  ];

  test.each(kinds)("where there is no nftables: %s", async (_what, config) => {
    const node = await Node.create();
    const before = await node.snapshot();
    const asked = { ...call(config(node)), netns: await node.pod() };
    const status = await by(withoutNftables, node, "STATUS", asked);
    expect(JSON.parse(status.stdout)).toMatchObject({ code: 50, msg: expect.stringContaining("nftables") });
    const added = await by(withoutNftables, node, "ADD", asked);
    expect(JSON.parse(added.stdout)).toMatchObject({ msg: expect.stringContaining("nftables") });
    expect(await node.snapshot()).toEqual(before);
  });

  /**
   * Runs a verb and asks, in the transaction that makes the table, for a family this kernel has not instead: Novell's.
   * Which one that is shows itself on a node like this one.
   */
  async function withoutFamily(
    node: Node,
    verb: "ADD" | "STATUS",
    config: (node: Node) => Config,
  ): Promise<{ exitCode: number; stdout: string }> {
    const NFPROTO_IPX = 4;
    const file = join(temporaryFolder("strace"), "sent");
    const strace = ["strace", "-qq", "-o", file, "-e", "trace=sendto"];
    const other = await Node.create();
    await by([...strace, "-e", "write=all"], other, verb, { ...call(config(other)), netns: await other.pod() });
    const calls = readFileSync(file, "utf8")
      .split(/^sendto/m)
      .slice(1)
      .map((text) =>
        [...text.matchAll(/^ \| [0-9a-f]{5}  ((?:[0-9a-f]{2} +)+)/gm)].flatMap(([, line]) => line!.trim().split(/ +/)),
      );
    // NFNL_MSG_BATCH_BEGIN (0x10) has 20 bytes, and the family follows the header of NFT_MSG_NEWTABLE (0x0a00)
    const isMaking = (bytes: string[]): boolean =>
      bytes.slice(4, 6).join("") === "1000" && bytes.slice(24, 26).join("") === "000a";
    const nth = calls.findIndex(isMaking);
    expect(nth).toBeGreaterThanOrEqual(0);
    const poke = `@arg2=${calls[nth]!.slice(0, 36).join("")}0${NFPROTO_IPX}`;
    const asked = { ...call(config(node)), netns: await node.pod() };
    return by([...strace, "-e", `inject=sendto:poke_enter=${poke}:when=${nth + 1}`], node, verb, asked);
  }

  test.each(kinds)("where nftables lacks the family: %s", async (_what, config) => {
    const node = await Node.create();
    const before = await node.snapshot();
    const asked = call(config(node));
    expect(await by(["env"], node, "STATUS", asked)).toEqual({ exitCode: 0, stdout: "" });
    const message = expect.stringMatching(/nft.*EOPNOTSUPP/);
    const status = await withoutFamily(node, "STATUS", config);
    expect(JSON.parse(status.stdout)).toMatchObject({ code: 50, msg: message });
    expect(await node.snapshot()).toEqual(before);
    const added = await withoutFamily(node, "ADD", config);
    expect(JSON.parse(added.stdout)).toMatchObject({ code: 999, msg: message });
    const after = await node.snapshot();
    expect([after.leases, after.links.filter((text) => JSON.stringify(text).includes("veth"))]).toEqual([{}, []]);
    expect(await by(["env"], node, "DEL", asked)).toEqual({ exitCode: 0, stdout: "" });
  });
});

describe("ADD for a namespace that is not there", () => {
  const chained: [string, object][] = [
    ["tuning", { mtu: 1400 }],
    ["bandwidth", { egressRate: 8e6, egressBurst: 8e6, ingressRate: 8e6, ingressBurst: 8e6 }],
    ["sbr", {}],
  ];
  test.each(chained)("is refused by %s, and changes nothing", async (type, keys) => {
    const node = await Node.create();
    const { pod, call: callOf } = await wire(node);
    const before = await node.snapshot();
    const netns = `/run/netns/none-${pod.name}`;
    const own = { type, dataDir: join(node.dataDir, "tuning"), ...keys };
    const { error } = await node.podwire("ADD", callOf(own, { netns }));
    expect(error).toMatchObject({ code: 4, msg: expect.stringContaining("no network namespace is there") as unknown });
    expect([await node.snapshot(), existsSync(netns)]).toEqual([before, false]);
    await node.succeed("DEL", callOf(own, { netns }));
    expect(existsSync(netns)).toBe(false);
  });

  test.each<[string, (node: Node) => Config]>([
    ["bridge", bridge],
    ["ptp", ptp],
    ["macvlan", macvlan],
    ["tap", (node) => ({ ...macvlan(node), type: "tap" })],
    ["host-device", (node) => hostDevice(node, { device: "uplink" })],
  ])("is refused by %s, and changes nothing", async (_what, make) => {
    const node = await Node.create();
    await node.outside();
    const before = await node.snapshot();
    for (const netns of ["/run/netns/no-such", "/etc/passwd"]) {
      const { error } = await node.podwire("ADD", await callFor(node, make(node), { netns }));
      expect(error).toMatchObject({ code: 4, msg: expect.stringContaining(netns) as unknown });
    }
    expect([await node.snapshot(), node.leases()]).toEqual([before, {}]);
  });
});

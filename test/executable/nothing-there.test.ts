import { chmodSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, type Config, hostDevice, hostLocal, macvlan, ptp, tap } from "./configs.ts";
import { DhcpScene, socketOf } from "./dhcp.ts";
import { type Call, Node } from "./harness.ts";
import { ports, by, call, withoutNftables } from "./weakened.ts";

// DEL succeeds where there is nothing of the attachment, however little podwire may do there; where there is something
// it says so. STATUS says where ADD cannot work.

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
  ["tap", (node) => tap(node, { bridge: "gone" })],
  ["sbr", () => ({ cniVersion: "1.1.0", name: "net", type: "sbr" })],
  ["portmap", () => ({ cniVersion: "1.1.0", name: "net", type: "portmap", ...ports })],
  ["firewall", () => ({ cniVersion: "1.1.0", name: "net", type: "firewall", ingressPolicy: "isolated" })],
  ["bandwidth", () => ({ cniVersion: "1.1.0", name: "net", type: "bandwidth", egressRate: 8e6, egressBurst: 8e6 })],
  ["loopback", () => ({ cniVersion: "1.1.0", name: "net", type: "loopback" })],
  ["tuning", (node) => ({ cniVersion: "1.1.0", name: "net", type: "tuning", dataDir: node.dataDir, mtu: 1400 })],
];

const del = async (node: Node, call: Call, command: string[]) => by(command, node, "DEL", call);
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

describe.each(plugins)("DEL of nothing, %s", (_what, config) => {
  test("where there is no nftables", async () => {
    const node = await Node.create();
    const pods = { ...call(config(node)), netns: await node.pod() };
    expect(await del(node, pods, withoutNftables)).toEqual({ exitCode: 0, stdout: "" });
    expect(await del(node, call(config(node)), withoutNftables)).toEqual({ exitCode: 0, stdout: "" });
  });

  test("without CAP_NET_ADMIN", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const pods = { ...call(config(node)), netns: pod };
    expect(await del(node, pods, weak)).toEqual({ exitCode: 0, stdout: "" });
    // what has its name, and is nobody's that podwire knows of, is let alone, and so needs no privilege
    await pod.ip("link add eth0 type bridge");
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
    // and that of its records, as other pods leave them: the kernel says EROFS only where a file's folder is there
    const folders = there.startsWith("a ") ? ["net", ".podwire/net"] : [];
    for (const folder of folders) mkdirSync(join(node.dataDir, folder), { recursive: true });
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
    ["tap", (node) => tap(node, { owner: 0 })],
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

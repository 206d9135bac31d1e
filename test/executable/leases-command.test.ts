import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { programs } from "./configs.ts";
import { executable, Node } from "./harness.ts";
import { temporaryFolder } from "../harness/paths.ts";

/** As a person on the node types it. */
const run = async (node: Node, ...args: string[]) => node.run(executable, ["leases", ...args], { env: {} });
const leases = async (node: Node, ...args: string[]) =>
  run(node, "--data-dir", node.dataDir, "--conf-dir", "/nowhere", ...args);
const wire = (node: Node, name: string) => ({
  plugin: "ptp",
  config: {
    cniVersion: "1.0.0",
    name,
    type: "ptp",
    ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" },
  },
});
const rows = ({ stdout }: { stdout: string }): string[][] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));

describe("podwire leases", () => {
  test("lists who has which address, since when, and whether the pod exists", async () => {
    const node = await Node.create();
    const [blue, gone] = [await node.pod(), await node.pod()];
    await node.succeed("ADD", { ...wire(node, "pods"), containerId: "blue", netns: blue });
    await node.succeed("ADD", { ...wire(node, "pods"), containerId: "gone", netns: gone });
    await gone.ip("link delete eth0"); // the kernel would do it as well, some time after the namespace is removed
    await gone.remove();
    mkdirSync(join(node.dataDir, "old"));
    writeFileSync(join(node.dataDir, "old/10.8.0.2"), "stranger\r\neth0"); // as the reference writes it
    writeFileSync(join(node.dataDir, "old/10.8.0.10"), "ancient"); // as its old versions did
    writeFileSync(join(node.dataDir, "old/10.8.0.9"), "");
    const outcome = await leases(node);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: "" });
    const since = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d$/) as unknown;
    expect(rows(outcome)).toEqual([
      ["POD", "ADDRESS", "NETWORK", "IFACE", "SINCE (UTC)", "STATE"],
      ["stranger", "10.8.0.2", "old", "eth0", since, "unknown"],
      ["-", "10.8.0.9", "old", "-", since, "torn"],
      ["ancient", "10.8.0.10", "old", "-", since, "unknown"],
      ["blue", "10.9.0.2", "pods", "eth0", since, "live"],
      ["gone", "10.9.0.3", "pods", "eth0", since, "gone"],
      ["old: 3 addresses, 2 unknown, 1 torn"],
      ["pods: 2 addresses, 1 live, 1 gone"],
    ]);
    expect(
      rows(await leases(node, "--network", "pods"))
        .slice(1, -1)
        .map(([, address]) => address),
    ).toEqual(["10.9.0.2", "10.9.0.3"]);
    expect(rows(await leases(node, "--state", "gone"))).toEqual([
      ["POD", "ADDRESS", "NETWORK", "IFACE", "SINCE (UTC)", "STATE"],
      ["gone", "10.9.0.3", "pods", "eth0", since, "gone"],
    ]);
    expect((await leases(node, "--state", "gone", "--network", "old")).stdout).toBe(
      `no gone leases in ${node.dataDir}/old\n`,
    );
  });

  test("sees a pod of the reference by its address", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    await node.reference("ADD", { ...wire(node, "theirs"), containerId: "theirs", netns: pod });
    expect(rows(await leases(node))[1]).toEqual(["theirs", "10.9.0.2", "theirs", "eth0", expect.anything(), "live"]);
  });

  test("knows the addresses another IPAM plugin gave, and cuts ids to what tells them apart", async () => {
    const node = await Node.create();
    const path = programs({
      given: `cat > /dev/null; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.7.0.5/24"}]}'`,
    });
    const config = {
      cniVersion: "1.0.0",
      name: "theirs",
      type: "bridge",
      bridge: "br0",
      ipam: { type: "given", dataDir: node.dataDir },
    };
    const id = "c".repeat(64);
    await node.succeed("ADD", { plugin: "bridge", config, containerId: id, netns: await node.pod(), path });
    await node.succeed("ADD", { ...wire(node, "pods"), containerId: "d".repeat(64), netns: await node.pod() });
    expect(rows(await leases(node)).slice(1, -1)).toEqual([
      ["dddddddddddd", "10.9.0.2", "pods", "eth0", expect.anything(), "live"],
      ["cccccccccccc", "10.7.0.5", "theirs", "eth0", "-", "live"],
    ]);
  });

  test("shows the names pods have, over all folders of leases it knows, for people and as JSON", async () => {
    const node = await Node.create();
    const conf = temporaryFolder("conf");
    const configured = { ...wire(node, "ours").config, type: "ptp" };
    writeFileSync(join(conf, "10-ours.conf"), JSON.stringify(configured));
    const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns-84b4d";
    await node.succeed("ADD", { ...wire(node, "ours"), containerId: "a".repeat(64), netns: await node.pod(), args });
    const usual = {
      ...wire(node, "usual").config,
      ipam: { type: "host-local", dataDir: "/run/cni-ipam-state", subnet: "10.10.0.0/24" },
    };
    await node.succeed("ADD", { plugin: "ptp", config: usual, containerId: "blue", netns: await node.pod() });
    const since = expect.any(String) as unknown;
    expect(rows(await run(node, "--conf-dir", conf)).slice(1, 3)).toEqual([
      ["blue", "10.10.0.2", "usual", "eth0", since, "live"],
      ["kube-system/dns-84b4d", "10.9.0.2", "ours", "eth0", since, "live"],
    ]);
    const { stdout } = await run(node, "--conf-dir", conf, "--json", "--network", "ours");
    expect(JSON.parse(stdout)).toMatchObject({
      leases: [{ pod: { namespace: "kube-system", name: "dns-84b4d" }, address: "10.9.0.2", state: "live" }],
      ranges: [{ network: "ours", size: "253", leased: 1, states: { live: 1 }, percent: 0 }],
      warnings: [],
    });
    expect(stdout.split("\n").every((line) => line.length <= 120)).toBe(true);
    const refused = await node.run(executable, ["leases", "release", "10.9.0.2", "--conf-dir", conf], { env: {} });
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/10\.9\.0\.2 is in use/) as unknown });
    await node.succeed("DEL", { plugin: "ptp", config: usual, containerId: "blue" });
  });

  test("release of what nobody leased says where it looked, also where there is no folder", async () => {
    const node = await Node.create();
    const release = async (...more: string[]) =>
      (await node.run(executable, ["leases", "release", "10.9.0.99", ...more], { env: {} })).stderr.trim();
    const nowhere = ["--conf-dir", temporaryFolder("conf")];
    expect(await release(...nowhere)).toMatch(/10\.9\.0\.99 is not leased in (\/|any folder: none on this node)/);
    expect(await release("--data-dir", node.dataDir, "--network", "net")).toBe(
      `podwire leases release: 10.9.0.99 is not leased in network net of ${node.dataDir}`,
    );
  });

  test("release frees an address at whose place a folder is, unless there is something in it", async () => {
    const node = await Node.create();
    const inWay = join(node.dataDir, "net/10.9.0.9");
    mkdirSync(join(inWay, "thing"), { recursive: true });
    const release = async () =>
      node.run(executable, ["leases", "release", "10.9.0.9", "--data-dir", node.dataDir], { env: {} });
    expect(await release()).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/not empty/) as unknown });
    rmdirSync(join(inWay, "thing"));
    expect(await release()).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("released 10.9.0.9") as unknown,
    });
    expect(existsSync(inWay)).toBe(false);
  });

  test("finds rules of an attachment nothing else is left of, and nothing of those that live", async () => {
    const node = await Node.create();
    const masquerading = { ...wire(node, "pods").config, ipMasq: true };
    const one = { plugin: "ptp", config: masquerading, containerId: "one", netns: await node.pod() };
    await node.succeed("ADD", one);
    expect((await leases(node)).stdout).not.toContain("warning");
    await node.must("nft", 'add element inet podwire masquerade4 { 10.9.0.99 comment "pods lost eth0" : drop }');
    const { stdout } = await leases(node);
    expect(stdout).toMatch(
      /warning: rules of container lost \(interface eth0, network pods\).*10\.9\.0\.99 in map masquerade4/,
    );
    expect(stdout.match(/warning/g)).toHaveLength(1);
  });

  test("says how full the configured ranges are, and which networks share addresses", async () => {
    const node = await Node.create();
    const conf = temporaryFolder("conf");
    const network = (name: string, ...subnets: string[]) => {
      const ipam = { type: "host-local", dataDir: node.dataDir, ranges: subnets.map((subnet) => [{ subnet }]) };
      return { cniVersion: "1.0.0", name, type: "ptp", ipam };
    };
    const { cniVersion, name, ...plugin } = network("pods", "10.9.0.0/24", "fd00:9::/64");
    writeFileSync(
      join(conf, "10-pods.conflist"),
      JSON.stringify({ cniVersion, name, plugins: [plugin, { type: "portmap" }] }),
    );
    writeFileSync(join(conf, "20-other.conf"), JSON.stringify(network("other", "10.9.0.128/29")));
    writeFileSync(join(conf, "30-broken.conf"), '{"name": "broken",\n  "type" }');
    writeFileSync(join(conf, "README"), "no configuration");
    const gone = await node.pod();
    const call = { plugin: "ptp", config: network("pods", "10.9.0.0/24", "fd00:9::/64") };
    await node.succeed("ADD", { ...call, containerId: "one", netns: await node.pod() });
    await node.succeed("ADD", { ...call, containerId: "two", netns: gone });
    await gone.ip("link delete eth0");
    await gone.remove();
    const { stdout } = await leases(node, "--conf-dir", conf);
    expect(stdout.split("\n").slice(6)).toEqual([
      "pods 10.9.0.1-10.9.0.254: 2 of 253 leased (0 %), 1 by pods that are gone",
      "pods fd00:9::1-fd00:9::ffff:ffff:ffff:ffff: 2 of some 2^64 leased (0 %), 1 by pods that are gone",
      "other 10.9.0.129-10.9.0.134: 0 of 5 leased (0 %)",
      "warning: pods (10-pods.conflist) and other (20-other.conf) both hand out addresses of 10.9.0.1-10.9.0.254",
      expect.stringMatching(/^warning: .*30-broken\.conf: .*line 2, column 10/) as unknown,
      "",
    ]);
  });

  test("changes nothing", async () => {
    const node = await Node.create();
    await node.succeed("ADD", { ...wire(node, "pods"), containerId: "one", netns: await node.pod() });
    const before = [await node.snapshot(), node.leases({ all: true })];
    await leases(node);
    expect([await node.snapshot(), node.leases({ all: true })]).toEqual(before);
  });

  test("says where there are none", async () => {
    const node = await Node.create();
    expect(await leases(node)).toMatchObject({ exitCode: 0, stdout: `no leases in ${node.dataDir}\n` });
    mkdirSync(join(node.dataDir, "pods"));
    expect(await leases(node, "--network", "pods")).toMatchObject({
      exitCode: 0,
      stdout: `no leases in ${node.dataDir}/pods\n`,
    });
    expect(await leases(node, "--network", "pod")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/no network is named pod .*did you mean pods\?/) as unknown,
    });
  });

  test("says that the folder does not exist", async () => {
    expect(await run(await Node.create(), "--data-dir", "/nowhere")).toMatchObject({
      exitCode: 2,
      stdout: "",
      stderr: expect.stringContaining("there is no folder /nowhere") as unknown,
    });
  });

  test.each([
    [["--frobnicate"], "frobnicate"],
    [["pods"], "pods"],
    [["--state", "dead"], "dead"],
    [["--network"], "--network"],
  ])("refuses %j with the usage", async (args, named) => {
    const { exitCode, stdout, stderr } = await run(await Node.create(), ...args);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(named);
    expect(stderr).toContain("Usage: podwire leases");
  });

  test.each(["--help", "-h"])("%s is the usage", async (argument) => {
    expect(await run(await Node.create(), argument)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^Usage: podwire leases/) as unknown,
    });
  });
});

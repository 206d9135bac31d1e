import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { remember } from "../harness/cached.ts";
import { temporaryFolder } from "../harness/paths.ts";
import { type Config, ptp } from "./configs.ts";
import { executable, Node, type Outcome } from "./harness.ts";

/** As a person on the node types it. */
const gc = async (node: Node, ...args: string[]): Promise<Outcome> =>
  node.run(executable, ["gc", "--data-dir", node.dataDir, "--conf-dir", "/nowhere", ...args], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });

const ports = (node: Node, hostPort: number): Config =>
  ptp(node, {
    ipMasq: true,
    capabilities: { portMappings: true },
    runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] },
  });

describe("podwire gc", () => {
  test("removes all that is left of a pod that is gone, with the proof, and nothing of one that lives", async () => {
    const node = await Node.create();
    const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=job-9x";
    await node.succeed("ADD", {
      plugin: "ptp",
      config: ports(node, 8080),
      containerId: "live",
      netns: await node.pod(),
    });
    const [before, leasesBefore] = [await node.ruleset(), node.leases()];
    const gone = await node.pod();
    await node.succeed("ADD", { plugin: "ptp", config: ports(node, 8081), containerId: "gone", netns: gone, args });
    await gone.vanish();
    const state = async () => [await node.snapshot(), node.leases({ all: true })];
    const unchanged = await state();
    const planned = await gc(node, "--dry-run");
    expect(planned.exitCode).toBe(1);
    expect(planned.stdout).toMatch(
      /^net 10\.9\.0\.3 \(default\/job-9x, since \d{4}-\d\d-\d\d\): its namespace and link are\n {4}gone: lease, rules, record would be removed\n/,
    );
    expect(planned.stdout).toContain("1 would be removed, 0 kept. Nothing was changed.");
    expect(await state()).toEqual(unchanged);

    const done = await gc(node);
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    expect(done.stdout).toMatch(/lease, rules, record removed\n1 removed, 0 kept\.\n$/);
    expect(node.leases()).toEqual(leasesBefore);
    expect(Object.keys(node.leases({ all: true })).filter((name) => name.includes("gone"))).toEqual([]);
    const elements = (ruleset: object[]): string[] => JSON.stringify(ruleset).match(/net (live|gone) eth0/g) ?? [];
    expect(elements(await node.ruleset())).toEqual(elements(before));
    expect((await gc(node)).stdout).toBe("Nothing is left of pods that are gone.\n");
  });

  test("keeps, and lists, what cannot be proved gone; frees what is older than the boot", async () => {
    const node = await Node.create();
    const folder = join(node.dataDir, "old");
    mkdirSync(folder);
    writeFileSync(join(folder, "10.8.0.2"), "stranger\r\neth0");
    writeFileSync(join(folder, "10.8.0.3"), "ancient\r\neth0");
    writeFileSync(join(folder, "10.8.0.4"), "older");
    writeFileSync(join(folder, "10.8.0.9"), "");
    for (const name of ["10.8.0.3", "10.8.0.4"]) utimesSync(join(folder, name), 1_000_000, 1_000_000);
    const { stdout, exitCode } = await gc(node, "--json");
    expect(exitCode).toBe(0);
    const { removed, kept } = JSON.parse(stdout) as Record<string, { addresses: string[]; proof: string }[]>;
    expect(removed!.flatMap(({ addresses }) => addresses)).toEqual(["10.8.0.3", "10.8.0.4"]);
    expect(kept).toEqual([
      expect.objectContaining({
        addresses: ["10.8.0.2"],
        proof: expect.stringMatching(/lease is younger than the boot/) as unknown,
      }),
      expect.objectContaining({ addresses: ["10.8.0.9"], proof: expect.stringMatching(/no lease/) as unknown }),
    ]);
    expect(Object.keys(node.leases())).toEqual(["old/10.8.0.2", "old/10.8.0.9"]);
  });

  test("knows by what the runtime remembers that a pod of the reference is gone", async () => {
    const node = await Node.create();
    const results = temporaryFolder("results");
    const { type: _type, cniVersion: _version, name: _name, ...plugin } = ptp(node, { ipMasq: true });
    const list = { cniVersion: "1.0.0", name: "net", plugins: [{ ...plugin, type: "ptp" }] };
    for (const containerId of ["one", "two"]) {
      const pod = await node.pod();
      const config = { ...plugin, cniVersion: "1.0.0", name: "net", type: "ptp" };
      const { result } = await node.reference("ADD", { plugin: "ptp", config, containerId, netns: pod });
      remember(results, list, { containerId, netns: pod.path, result: result! });
      if (containerId === "two") await pod.vanish();
    }
    const { stdout } = await gc(node, "--results-dir", results);
    expect(stdout).toMatch(
      /^net 10\.9\.0\.3 \(two, since .*: its namespace and link are gone: lease\n? *removed\n1 removed/,
    );
    expect(Object.keys(node.leases())).toEqual(["net/10.9.0.2"]);
    expect(await node.rulesetText()).not.toContain("10.9.0.3");
  });

  test("removes rules nothing else is left of, of the network that is named", async () => {
    const node = await Node.create();
    await node.succeed("ADD", {
      plugin: "ptp",
      config: ports(node, 8080),
      containerId: "live",
      netns: await node.pod(),
    });
    await node.must("nft", 'add element inet podwire masquerade4 { 10.9.0.99 comment "net lost eth0" : drop }');
    await node.must("nft", 'add element inet podwire masquerade4 { 10.9.1.99 comment "other lost eth0" : drop }');
    expect((await gc(node, "--network", "net")).stdout).toMatch(/net \(lost\): its link is gone, .*rules removed/s);
    const rules = await node.rulesetText();
    expect([rules.includes("10.9.0.99"), rules.includes("10.9.1.99"), rules.includes("net live eth0")]).toEqual([
      false,
      true,
      true,
    ]);
  });
});

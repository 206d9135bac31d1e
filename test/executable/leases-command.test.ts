import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { executable, Node } from "./harness.ts";

/** As a person on the node types it. */
const run = async (node: Node, ...args: string[]) => node.run(executable, ["leases", ...args], { env: {} });
const leases = async (node: Node, ...args: string[]) => run(node, "--data-dir", node.dataDir, ...args);
const wire = (node: Node, name: string) => ({
  plugin: "ptp",
  config: { cniVersion: "1.0.0", name, ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" } },
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
    const since = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as unknown;
    expect(rows(outcome)).toEqual([
      ["NETWORK", "ADDRESS", "CONTAINER", "INTERFACE", "SINCE", "STATE"],
      ["old", "10.8.0.2", "stranger", "eth0", since, "unknown"],
      ["old", "10.8.0.9", "-", "-", since, "torn"],
      ["old", "10.8.0.10", "ancient", "-", since, "unknown"],
      ["pods", "10.9.0.2", "blue", "eth0", since, "live"],
      ["pods", "10.9.0.3", "gone", "eth0", since, "gone"],
    ]);
    expect(
      rows(await leases(node, "--network", "pods"))
        .slice(1)
        .map(([, address]) => address),
    ).toEqual(["10.9.0.2", "10.9.0.3"]);
  });

  test("sees a pod of the reference by its address", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    await node.reference("ADD", { ...wire(node, "theirs"), containerId: "theirs", netns: pod });
    expect(rows(await leases(node))[1]).toEqual(["theirs", "10.9.0.2", "theirs", "eth0", expect.anything(), "live"]);
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
    expect(await leases(node, "--network", "pods")).toMatchObject({
      exitCode: 0,
      stdout: `no leases in ${node.dataDir}/pods\n`,
    });
  });

  test("says that the folder does not exist", async () => {
    expect(await run(await Node.create(), "--data-dir", "/nowhere")).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: expect.stringContaining("there is no folder /nowhere") as unknown,
    });
  });

  test.each([
    [["--frobnicate"], "frobnicate"],
    [["pods"], "pods"],
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

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeEach, describe, expect, test } from "vitest";
import { pluginNames } from "../../src/plugins/registry.ts";
import { executable, Node, reference, temporaryFolder } from "./harness.ts";

const names = pluginNames.toSorted();
let folder: string;
beforeEach(() => {
  folder = temporaryFolder("opt-cni-bin");
  return () => rmSync(folder, { recursive: true });
});

const install = async (...args: string[]) =>
  execa(executable, ["install", "--bin-dir", folder, ...args], { reject: false });

describe("podwire install", () => {
  test("copies itself and links the plugin names, in place of the reference's files", async () => {
    writeFileSync(join(folder, "bridge"), readFileSync(join(reference.folder, "bridge")), { mode: 0o755 });
    const { exitCode, stdout } = await install();
    expect(exitCode).toBe(0);
    expect(readdirSync(folder).sort()).toEqual([...names, "podwire"].sort());
    expect(statSync(join(folder, "podwire")).mode & 0o777).toBe(0o755);
    expect(readFileSync(join(folder, "podwire")).equals(readFileSync(executable))).toBe(true);
    for (const name of names) expect(readlinkSync(join(folder, name))).toBe("podwire");
    expect(stdout).toMatch(/^copied .* to .*\/podwire$/m);
    expect(stdout).toMatch(/^linked .*\/bridge to podwire, in place of a file of \d+ bytes$/m);
    const version = await execa(join(folder, "ptp"), {
      env: { CNI_COMMAND: "VERSION" },
      extendEnv: false,
      input: "{}",
    });
    expect(JSON.parse(version.stdout)).toMatchObject({
      supportedVersions: expect.arrayContaining(["1.1.0"]) as unknown,
    });
  });

  test("replaces itself while the old executable runs", async () => {
    await install();
    const before = statSync(join(folder, "podwire")).ino;
    // waiting for the end of its input, so it is running for as long as the test wants
    const running = execa(join(folder, "bridge"), {
      env: { CNI_COMMAND: "STATUS", CNI_PATH: folder },
      extendEnv: false,
      reject: false,
    });
    const again = await execa(join(folder, "podwire"), ["install", "--bin-dir", folder], { reject: false });
    expect(again).toMatchObject({ exitCode: 0, stderr: "" });
    expect(statSync(join(folder, "podwire")).ino).not.toBe(before);
    running.stdin.end("not JSON");
    expect(JSON.parse((await running).stdout)).toMatchObject({ code: 6 });
    expect(readdirSync(folder).sort()).toEqual([...names, "podwire"].sort());
  });

  test("links only the names it is given", async () => {
    expect((await install("--names", "ptp,portmap")).exitCode).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(["podwire", "portmap", "ptp"]);
  });

  test("says what it would do, and does nothing", async () => {
    writeFileSync(join(folder, "ptp"), "#!/bin/sh\n");
    const { exitCode, stdout } = await install("--dry-run", "--names=ptp");
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`would link ${folder}/ptp to podwire, in place of a file of 10 bytes`);
    expect(stdout).toContain("nothing was changed");
    expect(readdirSync(folder)).toEqual(["ptp"]);
    expect(lstatSync(join(folder, "ptp")).isFile()).toBe(true);
  });

  test.each([
    [["--names", "bridge,calico"], "calico"],
    [["--wrong"], "--wrong"],
    [["--names"], "--names needs a value"],
  ])("refuses %j with the usage", async (args, message) => {
    const { exitCode, stderr } = await install(...args);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain("Usage: podwire install");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("changes nothing when one of the names cannot be replaced", async () => {
    mkdirSync(join(folder, "ptp"));
    writeFileSync(join(folder, "bridge"), "the reference's");
    const { exitCode, stdout, stderr } = await install();
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/\/ptp is neither a file nor a link, so it is not replaced$/);
    expect(readdirSync(folder).sort()).toEqual(["bridge", "ptp"]);
    expect(readFileSync(join(folder, "bridge"), "utf8")).toBe("the reference's");
  });

  test("leaves everything as it was where it cannot write", async () => {
    writeFileSync(join(folder, "file"), "x");
    chmodSync(join(folder, "file"), 0o644);
    const { exitCode, stderr } = await execa(executable, ["install", "--bin-dir", join(folder, "file")], {
      reject: false,
    });
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^podwire install: /);
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  test("works as a node's plugins", async () => {
    await install();
    const node = await Node.create();
    const pod = await node.pod();
    const config = {
      cniVersion: "1.0.0",
      name: "installed",
      type: "ptp",
      ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" },
    };
    const env = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "one",
      CNI_NETNS: pod.path,
      CNI_IFNAME: "eth0",
      CNI_PATH: folder,
    };
    const { exitCode } = await node.run(join(folder, "ptp"), [], { env, input: JSON.stringify(config) });
    expect(exitCode).toBe(0);
    expect(await pod.addresses("eth0")).toEqual(["10.9.0.2/24"]);
  });
});

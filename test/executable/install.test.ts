import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
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

/** What was said, without the breaks of lines. */
const sentences = (stdout: string): string[] => stdout.trimEnd().replaceAll("\n  ", " ").split("\n");

const install = async (...args: string[]) =>
  execa(executable, ["install", "--bin-dir", folder, ...args], { reject: false });

describe("podwire install", () => {
  test("copies itself and links the plugin names, in place of the reference's files", async () => {
    writeFileSync(join(folder, "bridge"), readFileSync(join(reference.folder, "bridge")), { mode: 0o755 });
    const { exitCode, stdout } = await install();
    expect(exitCode).toBe(0);
    expect(readdirSync(folder).sort()).toEqual([...names, "podwire", ".podwire-kept"].sort());
    expect(statSync(join(folder, "podwire")).mode & 0o777).toBe(0o755);
    expect(readFileSync(join(folder, "podwire")).equals(readFileSync(executable))).toBe(true);
    for (const name of names) expect(readlinkSync(join(folder, name))).toBe("podwire");
    const said = sentences(stdout);
    expect(said[0]).toMatch(/^kept \S+\/bridge, a file of \d+ bytes, in \S+\/\.podwire-kept$/);
    expect(said[1]).toMatch(/^copied \S+ to \S+\/podwire$/);
    expect(said.slice(2)).toEqual(pluginNames.map((name) => `linked ${folder}/${name} to podwire`));
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
    expect(sentences(stdout)).toEqual([
      `would keep ${folder}/ptp, a file of 10 bytes, in ${folder}/.podwire-kept`,
      `would copy ${executable} to ${folder}/podwire`,
      `would link ${folder}/ptp to podwire`,
      "nothing was changed",
    ]);
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

  test.each<[string, (kept: string) => void, RegExp]>([
    ["a file", (kept) => writeFileSync(kept, "x"), /is no folder, so nothing can be kept there$/],
    ["a link", (kept) => symlinkSync("/etc/passwd", kept), /is no folder, so nothing can be kept there$/],
    ["a folder in its place", (kept) => mkdirSync(join(kept, "bridge"), { recursive: true }), /is neither a file nor/],
  ])("changes nothing when what is there cannot be kept: %s", async (_what, spoil, message) => {
    writeFileSync(join(folder, "bridge"), "the reference's");
    spoil(join(folder, ".podwire-kept"));
    const before = readdirSync(folder, { recursive: true });
    const { exitCode, stdout, stderr } = await install();
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(message);
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
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

/** Everything in the folder: names with their content, or where they lead. */
function contents(of = folder): Record<string, string> {
  const entries = readdirSync(of, { withFileTypes: true }).filter((entry) => !entry.isDirectory());
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(of, entry.name);
      return [entry.name, entry.isSymbolicLink() ? `-> ${readlinkSync(path)}` : readFileSync(path, "latin1")];
    }),
  );
}
const kept = (): Record<string, string> => contents(join(folder, ".podwire-kept"));

/** A plugin folder as a distribution makes it. */
function others(): void {
  writeFileSync(join(folder, "bridge"), "their bridge", { mode: 0o755 });
  symlinkSync("bridge", join(folder, "ptp"));
  writeFileSync(join(folder, "calico"), "their calico", { mode: 0o755 });
}

const uninstall = async (...args: string[]) =>
  execa(executable, ["uninstall", "--bin-dir", folder, ...args], { reject: false });

describe("podwire uninstall", () => {
  test("puts back what install replaced, however often that was, and leaves nothing of podwire", async () => {
    others();
    const before = contents();
    const inode = statSync(join(folder, "bridge")).ino;
    expect((await install()).exitCode).toBe(0);
    expect(kept()).toEqual({ bridge: "their bridge", ptp: "-> bridge" });
    const again = await install("--names", "bridge");
    expect(sentences(again.stdout)).toEqual([
      expect.stringMatching(/^copied \S+ to \S+, in place of podwire \d+\.\d+\.\d+$/),
      `linked ${folder}/bridge to podwire`,
    ]);
    expect(kept()).toEqual({ bridge: "their bridge", ptp: "-> bridge" });
    const { exitCode, stdout, stderr } = await uninstall();
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(sentences(stdout)).toEqual([
      `put back ${folder}/bridge, a file of 12 bytes`,
      `put back ${folder}/ptp, a link to bridge`,
      ...names
        .filter((name) => !["bridge", "ptp"].includes(name))
        .toSorted()
        .map((name) => `removed ${folder}/${name}: nothing stood there before install`),
      `removed ${folder}/podwire`,
    ]);
    expect(contents()).toEqual(before);
    expect(readdirSync(folder)).not.toContain(".podwire-kept");
    expect([statSync(join(folder, "bridge")).ino, statSync(join(folder, "bridge")).mode & 0o777]).toEqual([
      inode,
      0o755,
    ]);
    expect(await uninstall()).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("is not installed") as unknown,
    });
  });

  test("leaves what somebody put there since, with what was kept", async () => {
    others();
    await install();
    rmSync(join(folder, "bridge"));
    writeFileSync(join(folder, "bridge"), "newer");
    rmSync(join(folder, "ptp")); // a link that is simply gone gets its file back
    const { exitCode, stdout } = await uninstall();
    expect(exitCode).toBe(1);
    expect(sentences(stdout)).toContain(
      `left ${folder}/bridge, a file of 5 bytes: not podwire's; kept before: ${folder}/.podwire-kept/bridge`,
    );
    expect(contents()).toEqual({ bridge: "newer", calico: "their calico", ptp: "-> bridge" });
    expect(kept()).toEqual({ bridge: "their bridge" });
  });

  test("install keeps what was put there since: it came later", async () => {
    others();
    await install();
    rmSync(join(folder, "bridge"));
    writeFileSync(join(folder, "bridge"), "newer");
    expect((await install()).exitCode).toBe(0);
    expect(kept()).toEqual({ bridge: "newer", ptp: "-> bridge" });
    await uninstall();
    expect(contents()).toMatchObject({ bridge: "newer", ptp: "-> bridge" });
  });

  test("says what it would do, and does nothing", async () => {
    others();
    await install();
    const before = [contents(), kept()];
    const { exitCode, stdout } = await uninstall("--dry-run");
    expect(exitCode).toBe(0);
    expect(sentences(stdout)).toContain(`would put back ${folder}/bridge, a file of 12 bytes`);
    expect(stdout).toMatch(/^nothing was changed$/m);
    expect([contents(), kept()]).toEqual(before);
  });

  test("removes links of another version's plugins, and works as the installed executable itself", async () => {
    await install();
    symlinkSync("podwire", join(folder, "plugin-to-come"));
    const outcome = await execa(join(folder, "podwire"), ["uninstall", "--bin-dir", folder, "--json"], {
      reject: false,
    });
    expect(JSON.parse(outcome.stdout)).toMatchObject({ folder, restored: [], foreign: [], changed: true });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("install says that it replaces a newer podwire", async () => {
    writeFileSync(join(folder, "podwire"), "#!/bin/sh\necho podwire 99.0.0\n", { mode: 0o755 });
    expect(sentences((await install()).stdout)[0]).toMatch(
      /, in place of podwire 99\.0\.0, which is newer than this one, \d/,
    );
  });
});

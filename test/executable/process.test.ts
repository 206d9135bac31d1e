import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { pluginNames } from "../../src/plugins/registry.ts";
import { version } from "../../package.json" with { type: "json" };
import { versions } from "./configs.ts";
import { executable, podwireFolder, temporaryFolder } from "./harness.ts";
import { run, json, status, config } from "./process-run.ts";

const plugins = pluginNames;

describe("run by a person", () => {
  test("podwire says what it is, its version, the versions of the protocol, and its commands", async () => {
    const { exitCode, stdout, stderr } = await run({});
    expect([exitCode, stderr]).toEqual([0, ""]);
    for (const word of [
      `podwire ${version}`,
      ...plugins,
      ...versions,
      "CNI_COMMAND",
      "podwire install",
      "podwire leases",
      "podwire --version",
    ]) {
      expect(stdout).toContain(word);
    }
    expect(Math.max(...stdout.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
  });

  test.each(plugins)("%s says it on standard error, as the reference does", async (as) => {
    const { exitCode, stdout, stderr } = await run({ as });
    expect([exitCode, stdout]).toEqual([0, ""]);
    expect(stderr).toBe(
      `CNI ${as} plugin podwire ${version}\nCNI protocol versions supported: ${versions.join(", ")}\n`,
    );
  });

  test.each([["--help"], ["-h"], ["help"]])("%s is what podwire says by itself, under any name", async (argument) => {
    const bare = await run({});
    for (const as of ["podwire", "bridge"]) {
      expect(await run({ as, args: [argument] })).toMatchObject({ exitCode: 0, stdout: bare.stdout, stderr: "" });
    }
  });

  test.each(["install", "uninstall", "leases", "leases release", "validate", "run", "completion", "manual"])(
    "help %s is what that command says of itself",
    async (words) => {
      const name = words.split(" ");
      const own = await run({ args: [...name, "--help"] });
      expect(own).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(new RegExp(`^Usage: podwire ${words} `)) as unknown,
      });
      expect(Math.max(...own.stdout.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
      for (const word of ["help", "--help", "-h"]) {
        expect(await run({ args: [word, ...name] })).toMatchObject({ exitCode: 0, stdout: own.stdout, stderr: "" });
      }
      const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: "left-over" };
      expect(await run({ args: [...name, "--help"], env })).toMatchObject({
        exitCode: 0,
        stdout: own.stdout,
        stderr: "",
      });
    },
  );

  test.each([
    ["lease", "leases"],
    ["instal", "install"],
    ["versoin", "version"],
    ["--hlep", "--help"],
    ["--verison", "--version"],
    ["help leses", "leases"],
    ["leases relase 10.9.0.2", "release"],
    ["leases --network pods rel", "release"],
    ["help leases relase", "release"],
    ["run chekc list blue", "check"],
    ["completion bsh", "bash"],
    ["leases --state liev", "live"],
  ])("a mistyped command, %s, is told what was meant: %s", async (typed, meant) => {
    const { exitCode, stdout, stderr } = await run({ args: typed.split(" ") });
    expect([exitCode, stdout, stderr]).toEqual([2, "", expect.stringContaining(`did you mean ${meant}?`)]);
  });

  test("what nobody reads to its end is no failure", async () => {
    const script = `${executable} help leases | true; echo "\${PIPESTATUS[0]}"`;
    expect(await execa("bash", ["-c", script])).toMatchObject({ stdout: "0", stderr: "" });
  });

  test("an error is one line, and broken into lines of 80 columns where it stands on a terminal", async () => {
    const args = ["leases", "--data-dir", "/nowhere"];
    const { stderr } = await run({ args });
    expect(stderr).toMatch(/^podwire leases: there is no folder \/nowhere.{60,}\n$/);
    const typed = `${executable} ${args.join(" ")}`;
    const { stdout } = await execa("script", ["--quiet", "--command", typed, "/dev/null"], { reject: false });
    const lines = stdout.split("\r\n");
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.join(" ").replaceAll(/ +/g, " ")).toBe(stderr.trimEnd());
  });

  test("answers end with a newline, and a silent standard input is said to be waited for", async () => {
    const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: "a", CNI_IFNAME: "eth0", CNI_NETNS: "/nowhere" };
    expect((await run({ env, input: "{}" })).stdout).toMatch(/\}\n$/);
    const silent = execa(executable, [], { env, extendEnv: false, reject: false, stripFinalNewline: false });
    await new Promise((resolve) => silent.stderr.once("data", resolve));
    silent.stdin.end("{}");
    expect(await silent).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("waiting for a configuration") as unknown,
    });
  });

  test.each([["--version"], ["-V"], ["-v"], ["version"]])("%s is one line", async (argument) => {
    expect(await run({ args: [argument] })).toMatchObject({ exitCode: 0, stdout: `podwire ${version}\n`, stderr: "" });
  });

  test.each(["version", "--version", "-V"])("%s with more behind it is refused", async (argument) => {
    for (const extra of ["extra", ""]) {
      const said = `podwire ${argument}: unknown argument ${extra}\n`;
      expect(await run({ args: [argument, extra] })).toMatchObject({ exitCode: 2, stdout: "", stderr: said });
    }
  });

  test.each([["frobnicate"], ["--frobnicate"], ["constructor"], [""]])(
    "a command %j that is none is an error that names those there are",
    async (command) => {
      const { exitCode, stdout, stderr } = await run({ args: [command] });
      expect([exitCode, stdout]).toEqual([2, ""]);
      expect(stderr).toBe(
        `podwire: unknown command ${JSON.stringify(command)}; there are: ${commands.map(({ name }) => name).join(", ")}\n`,
      );
    },
  );

  test("an empty CNI_COMMAND is as none", async () => {
    expect((await run({ env: { CNI_COMMAND: "" } })).stdout).toBe((await run({})).stdout);
  });
});

describe("VERSION", () => {
  const answer = (cniVersion: string): string => `${JSON.stringify({ cniVersion, supportedVersions: versions })}\n`;
  const env = { CNI_COMMAND: "VERSION" };

  test.each([...plugins, "podwire"])("by %s, with nothing on standard input, is the newest", async (as) => {
    expect(await run({ as, env })).toMatchObject({ exitCode: 0, stdout: answer("1.1.0"), stderr: "" });
  });

  test.each([
    ["0.3.1", "0.3.1"],
    ["1.0.0", "1.0.0"],
    ["9.9.9", "1.1.0"],
  ])("asked in %s answers in %s", async (asked, answered) => {
    expect((await run({ as: "ptp", env, input: JSON.stringify({ cniVersion: asked }) })).stdout).toBe(answer(answered));
  });

  test("does not wait for a standard input that stays open and says nothing", async () => {
    const child = execa(join(podwireFolder(), "bridge"), [], {
      env,
      extendEnv: false,
      stdin: "pipe",
      stripFinalNewline: false,
      timeout: 60_000,
    });
    expect((await child).stdout).toBe(answer("1.1.0"));
  });
});

const nested = (depth: number): string =>
  `{"name":"n","cniVersion":"1.1.0","ipam":${"[".repeat(depth)}${"]".repeat(depth)}}`;

describe("what a runtime hears of a failure", () => {
  test.each<[string, Record<string, string>, string, { code: number; cniVersion: string }]>([
    ["an unknown verb", { CNI_COMMAND: "add" }, "{}", { code: 4, cniVersion: "1.1.0" }],
    ["missing variables", { CNI_COMMAND: "ADD" }, config({}), { code: 4, cniVersion: "1.1.0" }],
    ["no configuration", status, "", { code: 6, cniVersion: "1.1.0" }],
    ["text that is not JSON", status, '{"cniVersion": "1.0.0", "name', { code: 6, cniVersion: "1.1.0" }],
    ["a network without a name", status, '{"cniVersion": "1.1.0"}', { code: 7, cniVersion: "1.1.0" }],
    ["a version nobody speaks", status, '{"cniVersion": "7.0.0", "name": "n"}', { code: 1, cniVersion: "1.1.0" }],
    ["a verb older than its version", status, '{"cniVersion": "0.4.0", "name": "n"}', { code: 1, cniVersion: "0.4.0" }],
    ["a key of the wrong type", status, config({ mtu: "x" }), { code: 7, cniVersion: "1.1.0" }],
    // the reference's own limit is 10,000 levels: there it is no JSON either
    ["lists a hundred thousand deep", status, nested(100_000), { code: 6, cniVersion: "1.1.0" }],
    ["lists ten thousand deep", status, nested(10_000), { code: 7, cniVersion: "1.1.0" }],
  ])(
    "%s: JSON on standard output with code, message and cniVersion, exit 1, and no stack trace",
    async (_what, env, input, expected) => {
      const outcome = await run({ as: "bridge", env, input });
      expect([outcome.exitCode, outcome.stderr]).toEqual([1, ""]);
      expect(json(outcome)).toMatchObject({ ...expected, msg: expect.stringMatching(/./) as unknown });
      expect(outcome.stdout).not.toMatch(/\bat \w.*[(:]|\.ts\b|<eval>|node_modules/);
    },
  );

  test("a closed standard input is an empty one", async () => {
    const outcome = await execa("sh", ["-c", `exec "${podwireFolder()}/bridge" <&-`], { env: status, reject: false });
    expect(json(outcome)).toMatchObject({ code: 6 });
  });
});

describe("a name that is no plugin's", () => {
  const names = temporaryFolder("names");
  const asStranger = async (input: string) =>
    execa(join(names, "calico"), [], { env: status, extendEnv: false, input, reject: false });
  beforeAll(() => {
    symlinkSync(executable, join(names, "calico"));
    return () => rmSync(names, { recursive: true });
  });

  test("is the plugin that `type` names", async () => {
    expect(json(await asStranger(config({ type: "ptp" })))).toMatchObject({
      code: 7,
      msg: expect.stringContaining("ptp needs an IPAM plugin") as unknown,
    });
  });

  test("with type podwire is bridge", async () => {
    const outcome = await asStranger(config({ type: "podwire", vlan: 5000 }));
    expect(json(outcome)).toMatchObject({
      code: 7,
      msg: "invalid configuration: vlan is 5000, must be a whole number from 0 to 4094",
    });
  });

  test("without a type is an error; a whole configuration list is one that says what it is", async () => {
    expect(json(await asStranger(config({})))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/type is ""/) as unknown,
    });
    const list = config({ plugins: [{ type: "bridge" }] });
    expect(json(await asStranger(list))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/list.*cnitool/) as unknown,
    });
  });

  test.each(["calico", "constructor", "__proto__"])(
    "with type %s is an error that names the plugins there are",
    async (type) => {
      expect(json(await asStranger(config({ type })))).toMatchObject({
        code: 7,
        msg: `invalid configuration: type is ${JSON.stringify(type)}, must be one of ${plugins.join(", ")}`,
      });
    },
  );

  test("does not matter to a plugin that is called by its own name", async () => {
    expect((await run({ as: "bridge", env: status, input: config({ type: "ptp" }) })).exitCode).toBe(0);
  });
});

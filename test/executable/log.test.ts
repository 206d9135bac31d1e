import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Node, temporaryFolder } from "./harness.ts";
import { config, json, run, status } from "./process-run.ts";

describe("the log", () => {
  const folder = temporaryFolder("log");
  const file = join(folder, "log");
  const lines = (): Record<string, unknown>[] =>
    readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  beforeAll(() => () => rmSync(folder, { recursive: true }));

  test("is a line of JSON for each operation, without the configuration and its arguments", async () => {
    rmSync(file, { force: true });
    const node = await Node.create();
    const pod = await node.pod();
    const ipam = { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" };
    const call = {
      plugin: "ptp",
      containerId: "one",
      netns: pod,
      args: "IgnoreUnknown=1;PASSWORD=secret",
      config: { cniVersion: "1.0.0", name: "logged", type: "ptp", log: { file }, ipam, token: "secret" },
    };
    await node.succeed("ADD", call);
    expect((await node.podwire("ADD", call)).exitCode).toBe(1);
    await node.succeed("DEL", call);
    const about = {
      plugin: "ptp",
      network: "logged",
      container: "one",
      interface: "eth0",
      ms: expect.any(Number) as unknown,
    };
    expect(lines()).toMatchObject([
      { level: "info", verb: "ADD", outcome: "ok", ...about },
      {
        level: "error",
        verb: "ADD",
        outcome: "failed",
        code: 4,
        msg: expect.stringContaining("duplicate allocation") as unknown,
        ...about,
      },
      { level: "info", verb: "DEL", outcome: "ok", ...about },
    ]);
    expect(lines()[0]!.steps).toEqual(
      expect.arrayContaining([
        { name: "ipam", ms: expect.any(Number) as unknown },
        { name: "veth", ms: expect.any(Number) as unknown },
      ]),
    );
    expect(readFileSync(file, "utf8")).not.toContain("secret");
  });

  test("goes where PODWIRE_LOG says, unless the configuration says otherwise", async () => {
    rmSync(file, { force: true });
    const elsewhere = join(folder, "elsewhere");
    const asked = async (log: object) =>
      run({ as: "bridge", env: { ...status, PODWIRE_LOG: elsewhere }, input: config(log) });
    expect((await asked({ log: { file } })).exitCode).toBe(0);
    expect(lines()).toHaveLength(1);
    expect((await asked({})).exitCode).toBe(0);
    expect((await asked({ log: { level: "error" } })).exitCode).toBe(0); // nothing failed, so nothing is said
    expect(lines()).toHaveLength(1);
    expect(readFileSync(elsewhere, "utf8").trimEnd().split("\n")).toHaveLength(1);
  });

  test("goes to standard error where that is asked for", async () => {
    const { exitCode, stdout, stderr } = await run({
      as: "bridge",
      env: { ...status, PODWIRE_LOG: "stderr" },
      input: config({}),
    });
    expect([exitCode, stdout]).toEqual([0, ""]);
    expect(JSON.parse(stderr)).toMatchObject({ verb: "STATUS", plugin: "bridge", outcome: "ok" });
  });

  test.each([
    ["a folder", "/"],
    ["a missing folder", "/nowhere/at/all"],
    ["a full disk", "/dev/full"],
  ])("that cannot be written (%s) fails nothing", async (_what, unwritable) => {
    for (const [env, log] of [
      [{ PODWIRE_LOG: unwritable }, {}],
      [{}, { log: { file: unwritable } }],
    ] as const) {
      const { exitCode, stdout, stderr } = await run({ as: "bridge", env: { ...status, ...env }, input: config(log) });
      expect([exitCode, stdout]).toEqual([0, ""]);
      expect(stderr).toMatch(/^podwire: cannot write the log: .+\n$/);
    }
  });

  test.each(["relative", "./relative", "..", " "])(
    "is never %j: the folder a runtime stands in may be a pod's",
    async (at) => {
      for (const [key, env, log] of [
        ["PODWIRE_LOG", { PODWIRE_LOG: at }, {}],
        ["log.file", {}, { log: { file: at } }],
      ] as const) {
        const asked = { cwd: folder, as: "bridge", env: { ...status, ...env }, input: config(log) };
        const { exitCode, stdout, stderr } = await run(asked);
        const said = `podwire: cannot write the log: ${key} is "${at}", must be an absolute path or "stderr"\n`;
        expect([exitCode, stdout, stderr]).toEqual([0, "", said]);
        expect(existsSync(join(folder, at))).toBe(at === "..");
      }
    },
  );

  test("of a wrong level is a configuration error", async () => {
    expect(json(await run({ as: "bridge", env: status, input: config({ log: { level: "loud" } }) }))).toMatchObject({
      code: 7,
      msg: expect.stringContaining('log.level is "loud"') as unknown,
    });
  });
});

import "../../harness/engine-setup.ts";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { SystemError } from "../../../src/kernel/linux.ts";
import { findProgram, type Program, runProgram } from "../../../src/kernel/program.ts";
import { decodeUtf8, encodeUtf8 } from "../../../src/net/bytes.ts";

const folder = mkdtempSync(join(tmpdir(), "program-"));
afterAll(() => rmSync(folder, { recursive: true }));

const program = (more: Partial<Program> = {}): Program => ({
  args: [],
  environment: [],
  input: new Uint8Array(0),
  deadlineMs: 10_000,
  ...more,
});
const shell = (script: string, more: Partial<Program> = {}) => {
  const { stdout, stderr, ...end } = runProgram("/bin/sh", program({ args: ["-c", script], ...more }));
  return { ...end, stdout: decodeUtf8(stdout), stderr: decodeUtf8(stderr) };
};

describe("runProgram", () => {
  test("says how a program ended, and what it wrote", () => {
    expect(shell("cat; echo oops >&2; exit 3", { input: encodeUtf8("in") })).toEqual({
      exitCode: 3,
      signal: undefined,
      timedOut: false,
      stdout: "in",
      stderr: "oops\n",
    });
    expect(shell("kill -TERM $$")).toMatchObject({ exitCode: undefined, signal: "SIGTERM", timedOut: false });
  });

  test("gives it the name and the variables it is to have, and no others", () => {
    expect(shell('echo "$0"; env', { argv0: "other", environment: ["A=1"] }).stdout.split("\n")).toEqual(
      expect.arrayContaining(["other", "A=1"]),
    );
    expect(shell("env", { environment: [] }).stdout).not.toContain("PATH=/");
  });

  test("kills it when its time is over", () => {
    expect(shell("exec sleep 60", { environment: [`PATH=${process.env.PATH}`], deadlineMs: 200 })).toMatchObject({
      exitCode: undefined,
      signal: "SIGKILL",
      timedOut: true,
    });
  });

  test("throws where there is none to start", () => {
    expect(() => runProgram("/nowhere/at/all", program())).toThrow(SystemError);
    expect(() => runProgram("/nowhere/at/all", program())).toThrow(
      expect.objectContaining({ code: "ENOENT", message: "run /nowhere/at/all: no such file or directory (ENOENT)" }),
    );
  });
});

describe("findProgram", () => {
  const put = (name: string, mode = 0o755): void => {
    writeFileSync(join(folder, name), "");
    chmodSync(join(folder, name), mode);
  };

  test("takes the first executable file, links followed", () => {
    for (const each of ["one", "two"]) mkdirSync(join(folder, each));
    put("real");
    put("one/plain", 0o644);
    put("two/plain");
    mkdirSync(join(folder, "one/folder"));
    symlinkSync("../real", join(folder, "two/folder"));
    const path = `${folder}/none:${folder}/one:${folder}/two`;
    expect([findProgram("plain", path), findProgram("folder", path), findProgram("missing", path)]).toEqual([
      `${folder}/two/plain`,
      `${folder}/two/folder`,
      undefined,
    ]);
  });

  test("never looks into the current folder or one that is relative to it", () => {
    put("local");
    const cwd = process.cwd();
    process.chdir(folder);
    try {
      expect(["", ":", ".:..", "./", `${folder.split("/").at(-1)}`].map((path) => findProgram("local", path))).toEqual([
        undefined,
        undefined,
        undefined,
        undefined,
        undefined,
      ]);
    } finally {
      process.chdir(cwd);
    }
  });
});

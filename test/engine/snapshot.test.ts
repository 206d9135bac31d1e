import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { executable as podwire, root } from "../harness/paths.ts";
import { engine, executableOf, run } from "./engine.ts";

const [script, rehearsal] = [join(root, ".cache/podwire.js"), join(root, ".cache/rehearsal.js")];
const folder = mkdtempSync(join(tmpdir(), "podwire-snapshot-"));
const digest = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

describe("the heap made at build time", () => {
  test("comes out the same, byte for byte, whatever the environment, the clock, the folder and the address space are", () => {
    const build = (name: string, command: string[], env: Record<string, string>, cwd: string): string => {
      const out = join(folder, name);
      execFileSync(command[0]!, [...command.slice(1), engine, script, out, rehearsal], { env, cwd });
      return digest(out);
    };
    const digests = [
      build("plain", ["/usr/bin/env", "-i"], {}, "/"),
      build(
        "later",
        ["/usr/bin/env"],
        { HOME: "/nowhere", CNI_COMMAND: "ADD", PODWIRE_LOG: "stderr", TZ: "Asia/Tokyo", LANG: "tr_TR" },
        folder,
      ),
      build("ordered", ["/usr/bin/setarch", "-R"], { PATH: "/usr/bin" }, tmpdir()),
      build("other", ["/usr/bin/nice"], { A: "x".repeat(50_000) }, root),
    ];
    expect(new Set(digests)).toEqual(new Set([digest(podwire)]));
  });

  test("holds nothing of the machine it was built on", () => {
    const bytes = readFileSync(podwire);
    const { username, homedir } = userInfo();
    const words = [
      root,
      tmpdir(),
      homedir,
      hostname(),
      process.env["PATH"]!,
      process.cwd(),
      process.env["HOME"]!,
    ].filter((word) => word.length > 3);
    expect(words.length).toBeGreaterThan(3);
    expect(words.filter((word) => bytes.includes(word))).toEqual([]);
    expect(username).not.toBe("");
    expect(bytes.includes("supportedVersions")).toBe(true);
  });

  test("is made by code that sees an empty machine: no file, no clock, no variable, no randomness", () => {
    const executable = executableOf("say(seen)", {
      before: "let seen;",
      warmUp: `seen = { file: host.open("/etc/passwd", 0, 0), pid: host.getpid(), random: host.getrandom(new Uint8Array(8)),
        date: Date.now(), ns: host.nanoseconds(), run: host.run("/bin/true", ["true"], [], new Uint8Array(0), 1000) };`,
    });
    expect(run(executable)).toEqual([{ file: -2, pid: -2, random: -2, date: 1000, ns: 0, run: -2 }]);
  });

  test("gives every process a clock and randomness of its own, and no Math.random, which would be the same in all", () => {
    const executable = executableOf(`const bytes = new Uint8Array(16);
      say([host.getrandom(bytes), primitives.encodeHex(bytes), Date.now(), host.nanoseconds(), typeof Math.random])`);
    const [[one], [two]] = [run(executable), run(executable)] as [[unknown[]], [unknown[]]];
    expect(one![1]).not.toBe(two![1]);
    expect(Math.abs((one![2] as number) - Date.now())).toBeLessThan(60_000);
    expect(two![3] as number).toBeGreaterThan(one![3] as number);
    expect([one![0], one![4]]).toEqual([16, "undefined"]);
  });

  test("is what every process starts from: nothing one leaves is seen by the next", () => {
    const executable = executableOf("count += 1; list.push(args.length); say([count, list])", {
      before: "let count = 0; const list = [];",
    });
    expect([run(executable), run(executable)]).toEqual([[[1, [1]]], [[1, [1]]]]);
  });

  test("needs a script that can be evaluated: the build fails with its error, and leaves no executable", () => {
    const out = join(folder, "none");
    const bad = (code: string) => {
      const file = join(folder, "bad.js");
      execFileSync("/bin/sh", ["-c", 'printf %s "$1" > "$2"', "sh", code, file]);
      return spawnSync(engine, [file, out], { encoding: "utf8" });
    };
    for (const [code, said] of [
      ["syntax error", /SyntaxError/],
      ['throw new Error("on purpose")', /on purpose/],
      ["var podwire = {}", /lastWords/],
    ] as const) {
      expect([bad(code).status, bad(code).stderr]).toEqual([1, expect.stringMatching(said)]);
    }
    expect(() => statSync(out)).toThrow("ENOENT");
    expect(spawnSync(engine, [], { encoding: "utf8" })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("holds no code") as unknown,
    });
  });
});

describe("a build", () => {
  test("of the same commit and toolchain gives the same bytes, in whatever folder", () => {
    const clone = mkdtempSync(join(tmpdir(), "podwire-another-folder-"));
    for (const name of ["src", "test", "Makefile", "package.json", "package-lock.json", "tsconfig.json"]) {
      cpSync(join(root, name), join(clone, name), { recursive: true });
    }
    symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
    // the packages are the same ones: nothing may be installed over them
    execFileSync("make", ["--old-file=node_modules/.package-lock.json", "build"], {
      cwd: clone,
      env: { ...process.env, LANG: "C.UTF-8" },
      stdio: "pipe",
    });
    expect(digest(join(clone, "dist/podwire"))).toBe(digest(podwire));
  });

  test("is one static file, not position independent, that asks for no library", () => {
    const bytes = readFileSync(podwire);
    const [type, PT_INTERP] = [bytes.readUInt16LE(16), 3];
    const headers = Array.from({ length: bytes.readUInt16LE(56) }, (_, at) =>
      bytes.readUInt32LE(Number(bytes.readBigUInt64LE(32)) + at * bytes.readUInt16LE(54)),
    );
    expect(type).toBe(2 /* ET_EXEC */);
    expect(headers).not.toContain(PT_INTERP);
    expect(bytes.length).toBeLessThan(6.5e6);
  });
});

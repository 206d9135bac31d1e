import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../harness/paths.ts";

/** A processor to run on: this one, or another one by qemu-user. */
export interface Machine {
  name: string;
  /** the engine without a script, as the build leaves it */
  engine: string;
  /** what stands before the path of a program of that machine */
  runner: string[];
}

const target = (name: string): string => join(root, `.cache/engine/${name}-unknown-linux-gnu/release/engine`);
export const native: Machine = { name: arch(), engine: target(arch() === "arm64" ? "aarch64" : "x86_64"), runner: [] };
export const { engine } = native;

/** podwire for arm64, where `make arm64` could build it. */
export const arm64Podwire = join(root, ".cache/arm64/podwire");
export const arm64: Machine = { name: "arm64, by qemu", engine: target("aarch64"), runner: ["qemu-aarch64"] };

/** Every machine podwire was built for here. */
export const machines: Machine[] = existsSync(arm64Podwire) ? [native, arm64] : [native];

/** The path of something that starts `program` on its machine, with the same name and arguments. */
export function startable(program: string, { runner }: Machine): string {
  if (runner.length === 0) return program;
  const script = `${program}.sh`;
  writeFileSync(script, `#!/bin/sh\nexec ${runner.join(" ")} -0 "$0" ${program} "$@"\n`);
  chmodSync(script, 0o755);
  return script;
}

/**
 * An executable of the engine with a script of the test's own: the body of `main(args, environment)`, which has `host`
 * and `primitives` as podwire has, `say` to print a line of JSON and `utf8` for text. Returns its path.
 */
export function executableOf(body: string, { before = "", warmUp = "", machine = native } = {}): string {
  if (!existsSync(machine.engine)) throw new Error(`${machine.engine} is missing: make build`);
  const folder = mkdtempSync(join(tmpdir(), "podwire-engine-"));
  const script = join(folder, "script.js");
  const out = join(folder, "executable");
  writeFileSync(
    script,
    `"use strict"; var podwire = (() => {
    const utf8 = primitives.encodeUtf8;
    const say = (value) => {
      const line = utf8(JSON.stringify(value) + "\\n");
      // a write of megabytes that a signal disturbs has written a part
      for (let at = 0, sent = 0; at < line.length && sent >= 0; at += sent) sent = host.write(1, line.subarray(at));
    };
    ${before}
    return { lastWords: "last words", warmUp() { ${warmUp} }, main(args, environment) { ${body}; return 0; } };
  })();`,
  );
  const [command, ...args] = [...machine.runner, machine.engine, script, out];
  execFileSync(command!, args);
  return startable(out, machine);
}

/** Runs an executable of `executableOf` and returns the lines it said. */
export function run(executable: string, args: string[] = [], env: Record<string, string> = {}): unknown[] {
  const stdout = execFileSync(executable, args, {
    env: { PATH: "/usr/bin:/bin", ...env },
    encoding: "utf8",
    maxBuffer: 1 << 27,
  });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown);
}

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../harness/paths.ts";

const target = `${arch() === "arm64" ? "aarch64" : "x86_64"}-unknown-linux-gnu`;

/** The engine without a script, as `make build` leaves it. */
export const engine = join(root, `.cache/engine/${target}/release/engine`);

/**
 * An executable of the engine with a script of the test's own: the body of `main(args, environment)`, which has `host`
 * and `primitives` as podwire has, `say` to print a line of JSON and `utf8` for text. Returns its path.
 */
export function executableOf(body: string, { before = "", warmUp = "" } = {}): string {
  if (!existsSync(engine)) throw new Error(`${engine} is missing: make build`);
  const folder = mkdtempSync(join(tmpdir(), "podwire-engine-"));
  const script = join(folder, "script.js");
  const out = join(folder, "executable");
  writeFileSync(script, `"use strict"; var podwire = (() => {
    const utf8 = primitives.encodeUtf8;
    const say = (value) => host.write(1, utf8(JSON.stringify(value) + "\\n"));
    ${before}
    return { lastWords: "last words", warmUp() { ${warmUp} }, main(args, environment) { ${body}; return 0; } };
  })();`);
  execFileSync(engine, [script, out]);
  return out;
}

/** Runs an executable of `executableOf` and returns the lines it said. */
export function run(executable: string, args: string[] = [], env: Record<string, string> = {}): unknown[] {
  const stdout = execFileSync(executable, args, { env, encoding: "utf8", maxBuffer: 1 << 27 });
  return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line) as unknown);
}

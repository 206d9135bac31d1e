import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

const path = "/usr/sbin:/usr/bin:/sbin:/bin";
const found = (program: string): boolean =>
  spawnSync("sh", ["-c", 'command -v "$1"', "sh", program], { env: { PATH: path } }).status === 0;
const present = (program: string): boolean => (program.includes("/") ? existsSync(program) : found(program));

/** What a container runtime needs beside its programs: to be root of the machine, not of a user namespace. */
const isRoot = (): boolean =>
  /^\s*0\s+0\s+4294967295/.test(readFileSync("/proc/self/uid_map", "utf8")) && process.getuid?.() === 0;

/**
 * True if a runtime's tests can run here, and always in CI; if not they are skipped, and a line says what is missing.
 */
export function available(runtime: string, programs: string[], { root = false } = {}): boolean {
  const missing = programs.filter((program) => !present(program));
  if (root && !isRoot()) missing.push("root of this machine");
  if (missing.length === 0 || process.env.CI) return true;
  process.stderr.write(`skipped: the tests with ${runtime}; missing here: ${missing.join(", ")}\n`);
  return false;
}

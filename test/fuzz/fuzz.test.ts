import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../harness/paths.ts";

const inputs = process.env.CI ? 100_000 : 5_000;
/** They have the time that the other tests leave, and each input has a deadline of processor time. */
const TIMEOUT_MS = 3_600_000;

const command = [join(root, ".cache/fuzz/target"), ".cache/podwire.js", "test/fuzz/recorded.txt"];

/** Runs the target that `make` built: its exit code, and all it said. */
const fuzz = (...options: string[]) => run([...command, ...options]);

function run([program, ...args]: string[]): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(program!, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return { status, said: stdout + stderr };
}

test(`${inputs} inputs: no report of AddressSanitizer, an answer to each`, { timeout: TIMEOUT_MS }, () => {
  const { status, said } = run(["nice", "-n", "19", ...command, "--inputs", String(inputs)]);
  console.log(said);
  expect(said).not.toContain("AddressSanitizer");
  expect(said).toContain(`${inputs} inputs in `);
  expect(said).toMatch(/^0 findings$/m);
  expect(status).toBe(0);
  const verbs = /^verbs: .*$/m.exec(said)?.[0];
  for (const verb of ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"]) {
    expect(verbs).toMatch(new RegExp(`${verb} \\d{2}`));
  }
});

test("the simulated machine leads a recorded call where it led: test/fuzz/record.ts is up to date", () => {
  const { said } = fuzz("--replay");
  console.log(said);
  const ends = [...said.matchAll(/^replayed: (\d+) of (\d+) ended as recorded$/gm)];
  expect(ends).toHaveLength(2);
  for (const [, same, all] of ends) expect(Number(same) / Number(all)).toBeGreaterThan(0.9);
});

test("an input is known by its number", () => {
  const [once, again] = [fuzz("--only", "4711", "--trace"), fuzz("--only", "4711", "--trace")];
  expect(once.said.split("\n").length).toBeGreaterThan(10);
  expect(again.said.replace(/in \d+ s/, "")).toBe(once.said.replace(/in \d+ s/, ""));
  expect(fuzz("--only", "4712", "--trace").said).not.toBe(once.said);
});

describe("what is broken on purpose is reported", () => {
  test.each([
    ["use-after-free", /AddressSanitizer: (heap-use-after-free|use-after-poison)/],
    ["overflow", /AddressSanitizer: heap-buffer-overflow/],
    ["end", /the process ended: /],
    ["hang", /no end in time[^]* at readAll /],
    ["silence", /failure without an error of the specification/],
  ])("%s", (what, report) => {
    const { status, said } = fuzz("--break", what, "--inputs", "10", "--deadline", "1");
    expect(said).toMatch(report);
    expect(said).toMatch(/again: --seed 1 --only \d/);
    expect(status).toBe(1);
  });
});

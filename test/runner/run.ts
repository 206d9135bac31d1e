// Runs every kind of test, or those named as arguments, and ends with one line that sums them up: `make test`.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const results = join(root, ".cache/test");
const only = process.argv.slice(2);

/** Kinds of test that run one after the other: some of them measure time. */
const alone = ["unit", "kernel", "engine", "executable"];
/** Then these, which wait a lot and take little more than one processor, for minutes: the first beside the others. */
const last = ["fault"];
const beside = ["runtime", "uml"];
/** Runs from beginning to end beside all others: its inputs are tried in time that nobody else wants. */
const always = ["fuzz"];

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  success: boolean;
  testResults: { status: string; name: string; assertionResults: unknown[] }[];
}

// What test/runner/reference and test/runner/arm64 could not build here they have said; its tests are left out.
const reference = process.env.PODWIRE_REFERENCE ?? join(root, ".cache/reference/v1.9.1");
const needed = {
  "test/runtime/cnitool.test.ts": join(reference, "cnitool"),
  "test/executable/flannel-reference.test.ts": join(reference, "flannel"),
  "test/engine/arm64.test.ts": join(root, ".cache/arm64/podwire"),
};
const leftOut = Object.entries(needed).flatMap(([test, file]) => (existsSync(file) ? [] : [test]));
const umlIsHere = existsSync("/usr/bin/linux.uml");
if (!umlIsHere) leftOut.push("test/uml");
if (leftOut.length > 0) console.log(`not run: ${leftOut.join(", ")} (see above why)`);

rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });
const total = { passed: 0, failed: 0, skipped: 0 };
const logs = ["always", "beside"].map((name) => join(results, `${name}.log`));
const [alwaysLog, besideLog] = logs.map((file) => openSync(file, "w"));
const fuzzed = run(always, alwaysLog!);
await run(alone, 1);
await Promise.all([run(last, 1), run(beside, besideLog!)]);
await fuzzed;
for (const file of logs) process.stdout.write(readFileSync(file));

/** Runs these kinds one after the other; `output` is the descriptor of what they say. */
async function run(kinds: readonly string[], output: number): Promise<void> {
  for (const kind of kinds) await runKind(kind, output);
}

/** Runs the tests of a kind, as far as they are asked for and can run here. */
async function runKind(kind: string, output: number): Promise<void> {
  const isUml = kind === "uml";
  if (isUml && !umlIsHere) return;
  const paths = only.filter((path) => path.startsWith(`test/${kind}`));
  if (only.length > 0 && paths.length === 0) return;
  const file = join(results, `${kind}.json`);
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "--config", "test/vitest.config.ts"];
  if (isUml) vitest.push("--configLoader", "runner"); // its files are read-only
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const excluded = leftOut.flatMap((path) => ["--exclude", path]);
  const command = [process.execPath, ...vitest, ...reporters, "--project", kind, ...excluded, ...paths];
  writeSync(output, `\n== ${kind}\n`);
  const [runner, ...args] = [...(isUml ? ["test/runner/uml"] : []), "test/runner/isolated", ...command];
  const child = spawn(join(root, runner!), args, { cwd: root, stdio: ["ignore", output, output] });
  const [status] = (await once(child, "exit")) as [number | null];
  add(file, status ?? 1);
}

/** Adds one run's outcome; a file that failed to load, or a run without a report, counts as one failure. */
function add(file: string, status: number): void {
  if (!existsSync(file)) {
    total.failed += 1;
    return;
  }
  const report = JSON.parse(readFileSync(file, "utf8")) as Report;
  const broken = report.testResults.filter(
    (result) => result.status === "failed" && result.assertionResults.length === 0,
  ).length;
  const failed = report.numFailedTests + broken;
  total.passed += report.numPassedTests;
  total.failed += failed === 0 && (status !== 0 || !report.success) ? 1 : failed;
  total.skipped += report.numPendingTests + report.numTodoTests;
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
const line = `${total.passed} passed, ${total.failed} failed${skipped}`;
writeFileSync(join(results, "summary"), `${line}\n`);
console.log(`\n${line}`);
const skippedInCi = Boolean(process.env.CI) && total.skipped > 0;
process.exitCode = total.failed > 0 || total.passed === 0 || skippedInCi ? 1 : 0;

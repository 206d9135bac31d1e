// Runs every kind of test, or those named as arguments, and ends with what failed and one line that sums up: `make test`.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Failure, failuresOf, type Report, told } from "./failures.ts";

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
const total = { passed: 0, skipped: 0 };
const failures: Failure[] = [];
const logs = ["always", "beside"].map((name) => join(results, `${name}.log`));
const [alwaysLog, besideLog] = logs.map((file) => {
  const descriptor = openSync(file, "w");
  return (text: string): void => void writeSync(descriptor, text);
});
const aloud = (text: string): void => void process.stdout.write(text);
const fuzzed = run(always, alwaysLog!);
await run(alone, aloud);
await Promise.all([run(last, aloud), run(beside, besideLog!)]);
await fuzzed;
for (const file of logs) process.stdout.write(readFileSync(file));

/** Runs these kinds one after the other; `say` gets what they say. */
async function run(kinds: readonly string[], say: (text: string) => void): Promise<void> {
  for (const kind of kinds) await runKind(kind, say);
}

/** Runs the tests of a kind, as far as they are asked for and can run here. */
async function runKind(kind: string, say: (text: string) => void): Promise<void> {
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
  say(`\n== ${kind}\n`);
  const [runner, ...args] = [...(isUml ? ["test/runner/uml"] : []), "test/runner/isolated", ...command];
  const child = spawn(join(root, runner!), args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      say(text);
      said = (said + text).slice(-10_000);
    });
  }
  const closed = once(child, "close");
  const [status] = (await once(child, "exit")) as [number | null];
  await Promise.race([closed, setTimeout(5000, undefined, { ref: false })]); // a process left behind may hold them open
  child.stdout.destroy();
  child.stderr.destroy();
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Report) : undefined;
  total.passed += report?.numPassedTests ?? 0;
  total.skipped += report ? report.numPendingTests + report.numTodoTests : 0;
  failures.push(...failuresOf(root, { kind, report, status: status ?? 1, said }));
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
const line = `${total.passed} passed, ${failures.length} failed${skipped}`;
writeFileSync(join(results, "summary"), `${line}\n`);
console.log(["", ...told(failures), line].join("\n"));
const skippedInCi = Boolean(process.env.CI) && total.skipped > 0;
process.exitCode = failures.length > 0 || total.passed === 0 || skippedInCi ? 1 : 0;

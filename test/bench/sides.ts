import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLONE_NEWNET, setns } from "../../src/kernel/libc.ts";
import { environment, type Call, type Verb } from "../harness/invoke.ts";
import { Node } from "../harness/node.ts";
import { bun, executable, pluginNames, reference, root } from "../harness/paths.ts";

/** One implementation under measurement: its executables and a node of its own, so that neither meets the other's rules. */
export interface Side {
  name: "podwire" | "reference";
  folder: string;
  node: Node;
}

let folders: Record<Side["name"], string> | undefined;

/** Fresh copies, both written like `podwire install` does: what a start costs depends on how the page cache holds the file. */
function installed(): Record<Side["name"], string> {
  const folder = join(root, ".cache/bench-bin");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "reference"), { recursive: true });
  execFileSync(executable, ["install", "--bin-dir", join(folder, "podwire")]);
  for (const name of pluginNames.filter((each) => each !== "podwire")) copyWhole(join(reference.folder, name), join(folder, "reference", name));
  return { podwire: join(folder, "podwire"), reference: join(folder, "reference") };
}

/** Copies an executable in one piece, as `podwire install` does. */
const copyWhole = (from: string, to: string): void => writeFileSync(to, readFileSync(from), { mode: 0o755 });

/** Two sides, each with a fresh node. */
export async function bothSides(): Promise<Side[]> {
  folders ??= installed();
  return [
    { name: "podwire", folder: folders.podwire, node: await Node.create() },
    { name: "reference", folder: folders.reference, node: await Node.create() },
  ];
}

export interface Step {
  verb: Verb;
  call: Call;
}

export interface Measured {
  ms: number;
  stdout: string;
}

/** Moves this thread, and so every process it starts, into a side's node: `nsenter` would add its own start to each figure. */
export function enter(side: Side): void {
  const fd = openSync(side.node.path, "r");
  try {
    setns(fd, CLONE_NEWNET);
  } finally {
    closeSync(fd);
  }
}

const command = (side: Side, { verb, call }: Step) => {
  const input = typeof call.config === "string" ? call.config : JSON.stringify(call.config);
  return { cmd: [join(side.folder, call.plugin)], env: environment(side.folder, verb, call), stdin: Buffer.from(input) };
};

/** An executable that does nothing: what Bun itself costs every podwire process. */
export function emptyExecutable(): string {
  const [source, built] = ["empty.js", "empty"].map((name) => join(root, ".cache/bench-bin", name)) as [string, string];
  writeFileSync(source, "");
  execFileSync(bun, ["build", source, "--compile", "--minify", "--bytecode", "--outfile", `${built}.new`], { stdio: "ignore" });
  copyWhole(`${built}.new`, built);
  execFileSync("sync", [built]); // what is still being written to the disk starts slowly
  return built;
}

/** Runs one whole process and times it from before it is started until it has ended; throws unless it exits with 0. */
export const time = (side: Side, step: Step): Measured => timeProcess(`${side.name} ${step.call.plugin} ${step.verb}`, command(side, step));

/** As `time`, for any program. */
export function timeProcess(what: string, program: { cmd: string[]; env?: Record<string, string>; stdin?: Buffer }): Measured {
  const start = Bun.nanoseconds();
  const { exitCode, stdout, stderr } = Bun.spawnSync({ ...program, stdout: "pipe", stderr: "pipe" });
  const ms = (Bun.nanoseconds() - start) / 1e6;
  if (exitCode !== 0) throw new Error(`${what}: ${stdout.toString()}${stderr.toString()}`);
  return { ms, stdout: stdout.toString() };
}

/** Starts all steps at once; the time until the last has ended. */
export async function timeTogether(side: Side, steps: Step[]): Promise<number> {
  const commands = steps.map((step) => command(side, step));
  const start = Bun.nanoseconds();
  const running = commands.map(({ cmd, env, stdin }) => Bun.spawn({ cmd, env, stdin, stdout: "pipe", stderr: "pipe" }));
  const codes = await Promise.all(running.map(async (each) => each.exited));
  const ms = (Bun.nanoseconds() - start) / 1e6;
  const failed = codes.findIndex((code) => code !== 0);
  if (failed >= 0) throw new Error(`${side.name}, ${codes.filter((code) => code !== 0).length} failed: ${await new Response(running[failed]!.stdout).text()}`);
  return ms;
}

/** Peak memory of one process in MiB, by GNU time: a process started from here would report this one's own size. */
export function peakMemory(side: Side, step: Step): number {
  const { cmd, env, stdin } = command(side, step);
  const { exitCode, stderr } = Bun.spawnSync({ cmd: ["/usr/bin/time", "-f", "%M", ...cmd], env, stdin, stdout: "pipe", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${side.name} under time: ${stderr.toString()}`);
  return Number(stderr.toString().trim().split("\n").at(-1)) / 1024;
}

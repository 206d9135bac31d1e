import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { host } from "../harness/host.ts";
import { environment, type Call, type Verb } from "../harness/invoke.ts";
import { Node } from "../harness/node.ts";
import { executable, reference, root } from "../harness/paths.ts";
import { pluginNames } from "../harness/podwire-folder.ts";
import { type Cost, finish, prepare, type Program, run, start } from "./process.ts";

/**
 * One implementation under measurement: its executables and a node of its own, so that neither meets the other's rules.
 */
export interface Side {
  name: "podwire" | "reference";
  folder: string;
  node: Node;
}

let folders: Record<Side["name"], string> | undefined;

/**
 * Fresh copies, both written like `podwire install` does: what a start costs depends on how the page cache holds the
 * file.
 */
function installed(): Record<Side["name"], string> {
  const folder = join(root, ".cache/bench-bin");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "reference"), { recursive: true });
  execFileSync(executable, ["install", "--bin-dir", join(folder, "podwire")]);
  for (const name of pluginNames.filter((each) => existsSync(join(reference.folder, each)))) {
    copyWhole(join(reference.folder, name), join(folder, "reference", name));
  }
  return { podwire: join(folder, "podwire"), reference: join(folder, "reference") };
}

/** True where the reference has a plugin of that name on this machine. */
export const hasReference = (name: string): boolean => existsSync(join(reference.folder, name));

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

/** sched.h */
const CLONE_NEWNET = 0x40000000;

/**
 * Moves this thread, and so every process it starts, into a side's node: `nsenter` would add its own start to each
 * figure.
 */
export function enter(side: Side): void {
  const fd = openSync(side.node.path, "r");
  const result = host.setns(fd, CLONE_NEWNET);
  closeSync(fd);
  if (result < 0) throw new Error(`cannot enter ${side.node.name}: errno ${-result}`);
}

function program(side: Side, { verb, call }: Step): Program {
  const stdin = typeof call.config === "string" ? call.config : JSON.stringify(call.config);
  return { cmd: [join(side.folder, call.plugin)], env: environment(side.folder, verb, call), stdin };
}

const nameOf = (side: Side, { verb, call }: Step): string => `${side.name} ${call.plugin} ${verb}`;

/** Runs one whole process and says what it cost; throws unless it exits with 0. */
export const measure = (side: Side, step: Step): Cost => run(nameOf(side, step), program(side, step));

/** Starts all steps at once; the milliseconds until the last has ended. */
export function timeTogether(side: Side, steps: Step[]): number {
  const prepared = steps.map((step, slot) => prepare(program(side, step), slot));
  const running = prepared.map(start);
  for (const [at, each] of running.entries()) finish(each, nameOf(side, steps[at]!));
  return Number(process.hrtime.bigint() - running[0]!.since) / 1e6;
}

/**
 * Peak memory of one process in MB, by GNU time, which needs some 1 MB itself: a process started from here would be
 * said to need what this one does, as the child of posix_spawn(3) begins with our memory.
 */
export function peakMemory(side: Side, step: Step): number {
  const { cmd, ...rest } = program(side, step);
  const file = join(root, ".cache/bench-bin/memory");
  run(`${nameOf(side, step)} under time`, { cmd: ["/usr/bin/time", "-f", "%M", "-o", file, ...cmd], ...rest });
  return (Number(readFileSync(file, "utf8")) * 1024) / 1e6;
}

/** What all plugins of a side take on disk, in MB; links count once. */
export function fileSize(side: Side): number {
  const paths = pluginNames.map((name) => join(side.folder, name)).filter((path) => existsSync(path));
  const files = paths.map((path) => statSync(path));
  const sizes = new Map(files.map(({ ino, size }) => [ino, size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0) / 1e6;
}

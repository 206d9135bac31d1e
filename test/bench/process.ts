import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { libcCall } from "../harness/host.ts";
import { temporaryFolder } from "../harness/paths.ts";
import { prepareStart } from "../harness/spawn.ts";

/** A program with all that it gets: `cmd[0]` is its file, the environment is nothing but `env`. */
export interface Program {
  cmd: string[];
  env?: Record<string, string>;
  stdin?: string;
}

/** What a whole process cost, from before it was started until it had ended. */
export interface Cost {
  ms: number;
  /** of the processor, in user space and in the kernel */
  processorMs: number;
  /** that in the kernel, if the mean over many processes is taken: most kernels look who is at work once in a tick */
  systemMs: number;
  /** page faults that needed no reading from disk */
  faults: number;
  stdout: string;
}

/*
 * Node's own way of starting programs costs more than the programs measured here, and never the same. This is the C
 * library's: posix_spawn(3) and wait4(2), which blocks until the program has ended; standard input and output are files
 * in memory, so that between the two clocks nothing is left of ours but these two calls. Both sides are started alike.
 */
const wait4 = libcCall("wait4", "int int bytes int bytes");
const clockResolution = libcCall("clock_getres", "int int bytes");

/** Numbers in memory the kernel writes. */
const longs =
  (bytes: Uint8Array) =>
  (at: number): number =>
    Number(new DataView(bytes.buffer).getBigInt64(at, true));

/** The length of the kernel's tick. */
const tickMs = ((): number => {
  const time = new Uint8Array(16); // struct timespec
  clockResolution(6 /* CLOCK_MONOTONIC_COARSE */, time);
  return longs(time)(8) / 1e6;
})();

interface Prepared {
  program: Program;
  fds: number[];
  files: Record<"stdin" | "stdout" | "stderr", string>;
}

export interface Started extends Prepared {
  pid: number;
  /** nanoseconds */
  since: bigint;
}

let folder: string | undefined;

/** Sees to the files of a program; of those that run at the same time each needs a `slot` of its own. */
export function prepare(program: Program, slot = 0): Prepared {
  folder ??= temporaryFolder("bench");
  const file = (name: string): string => join(folder!, `${slot}.${name}`);
  const files = { stdin: file("stdin"), stdout: file("stdout"), stderr: file("stderr") };
  writeFileSync(files.stdin, program.stdin ?? "");
  const fds = [openSync(files.stdin, "r"), openSync(files.stdout, "w"), openSync(files.stderr, "w")];
  return { program, files, fds };
}

/** Starts it; its clock begins to run. */
export function start(prepared: Prepared): Started {
  const { cmd, env = {} } = prepared.program;
  const begin = prepareStart({ command: cmd, env, fds: prepared.fds });
  const since = process.hrtime.bigint();
  const pid = begin();
  if (pid < 0) throw new Error(`cannot start ${cmd[0]}: errno ${-pid}`);
  return { ...prepared, pid, since };
}

/** Waits until it has ended; throws unless it exits with 0. */
export function finish({ pid, since, files, fds }: Started, what: string): Cost {
  const status = new Uint8Array(4);
  const usage = new Uint8Array(144); // struct rusage, sys/resource.h
  let result: number;
  do result = wait4(pid, status, 0, usage);
  while (result === -constants.errno.EINTR);
  const ms = Number(process.hrtime.bigint() - since) / 1e6;
  for (const fd of fds) closeSync(fd);
  if (result !== pid || status.some((byte) => byte !== 0)) {
    const said = [files.stdout, files.stderr].map((file) => readFileSync(file, "utf8")).join("");
    throw new Error(`${what}: wait status ${status}: ${said}`);
  }
  const long = longs(usage);
  const time = (at: number): number => long(at) * 1e3 + long(at + 8) / 1e3; // struct timeval
  const [user, system] = [time(0), time(16)];
  // a process shorter than a tick met one or none, and all of its time is said to be of one kind: without one, user's
  const sampled = user + system < tickMs && (user === 0 || system === 0);
  const systemMs = sampled && system > 0 ? tickMs : system;
  return { ms, processorMs: user + system, systemMs, faults: long(64), stdout: readFileSync(files.stdout, "utf8") };
}

/** Runs a program to its end. */
export const run = (what: string, program: Program): Cost => finish(start(prepare(program)), what);

import { findStat } from "./file.ts";
import { host } from "./host.ts";
import { isExecutable, S_IFREG, SystemError } from "./linux.ts";

/** How a program is started; it gets no other variables and no other open files. */
export interface Program {
  /** the name it sees; its file's where absent */
  argv0?: string;
  args: readonly string[];
  /** `NAME=value` */
  environment: readonly string[];
  input: Uint8Array;
  deadlineMs: number;
}

/** How it ended: by itself with a code, or by a signal. */
export interface Outcome {
  exitCode: number | undefined;
  /** SIGKILL where its time was over */
  signal: string | undefined;
  timedOut: boolean;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/** asm-generic/signal.h; a program that ends by another one says its number. */
const signals: Record<number, string> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  10: "SIGUSR1",
  11: "SIGSEGV",
  12: "SIGUSR2",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
  24: "SIGXCPU",
  25: "SIGXFSZ",
  31: "SIGSYS",
};

/**
 * Runs a program to its end, and kills it when its time is over; SystemError where it cannot be started, or writes more
 * than 64 MiB.
 */
export function runProgram(file: string, { argv0 = file, args, environment, input, deadlineMs }: Program): Outcome {
  const ended = host.run(file, [argv0, ...args], environment, input, deadlineMs);
  if (typeof ended === "number") throw new SystemError("run", -ended, file);
  const { status, timedOut, stdout, stderr } = ended;
  const signal = status & 0x7f; // wait(2)
  return {
    exitCode: signal === 0 ? (status >> 8) & 0xff : undefined,
    signal: signal === 0 ? undefined : (signals[signal] ?? `signal ${signal}`),
    timedOut,
    stdout,
    stderr,
  };
}

/**
 * The first executable file of that name in the folders of PATH. Relative and empty entries, the current folder, are
 * never searched.
 */
export function findProgram(name: string, path: string): string | undefined {
  const folders = path.split(":").filter((folder) => folder.startsWith("/"));
  return folders
    .map((folder) => `${folder}/${name}`)
    .find((file) => isExecutable(file) && findStat(file)?.type === S_IFREG);
}

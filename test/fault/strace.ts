import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { environment, type Answer, type Call, type Verb } from "../harness/invoke.ts";
import type { Node } from "../harness/node.ts";
import { temporaryFolder } from "../harness/paths.ts";
import { podwireFolder } from "../harness/podwire-folder.ts";

/** One system call of podwire's only thread: the `nth` call of that name, counted from 1. */
export interface SystemCall {
  name: string;
  nth: number;
  /** the line strace printed, for failure messages */
  text: string;
}

/**
 * What is done to one system call: the process is killed as it enters it, or the call fails without being made, or the
 * process is stopped when it has made it, for as long as `meanwhile`, which is given its id, takes.
 */
export type Fault =
  | { kill: SystemCall }
  | { fail: SystemCall; errno: string }
  | { stop: SystemCall; meanwhile: (pid: number) => Promise<void> };

/** Memory, time and signals of the process itself: nothing comes of them. */
const untraced = [
  "brk",
  "mmap",
  "mremap",
  "munmap",
  "mprotect",
  "madvise",
  "futex",
  "clock_gettime",
  "rt_sigaction",
  "rt_sigprocmask",
];
const traces = temporaryFolder("strace");
let count = 0;

/**
 * Executes podwire under strace, with a fault where one is given; the lines strace printed. Interface as
 * `Node.podwire`.
 */
export async function trace(
  node: Node,
  verb: Verb,
  call: Call,
  fault?: Fault,
): Promise<Answer & { lines: string[]; killed: boolean }> {
  count += 1;
  const file = join(traces, `${process.pid}-${count}`);
  const folder = podwireFolder();
  const options = ["-o", file, ...tracing(fault)];
  const input = typeof call.config === "string" ? call.config : JSON.stringify(call.config);
  // strace ends by the signal that ended podwire; the shell makes an exit code of it
  const running = node.run("sh", ["-c", 'strace "$@"; exit $?', "sh", ...options, join(folder, call.plugin)], {
    env: environment(folder, verb, call),
    input,
  });
  if (fault && "stop" in fault) await whileStopped(running, file, fault.meanwhile);
  const outcome = await running;
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  rmSync(file);
  const killed = lines.at(-1)?.includes("killed by SIGKILL") === true;
  const parsed = outcome.stdout === "" || killed ? undefined : (JSON.parse(outcome.stdout) as object);
  return {
    ...outcome,
    durationMs: 0,
    lines,
    killed,
    ...(outcome.exitCode === 0 ? { result: parsed as never } : { error: parsed as never }),
  };
}

/** Waits until the process that strace runs has stopped, or ended; does what is to be done meanwhile, and lets it go on. */
async function whileStopped(
  running: Promise<unknown>,
  file: string,
  meanwhile: (pid: number) => Promise<void>,
): Promise<void> {
  let isOver = false;
  void running.finally(() => (isOver = true)).catch(() => undefined);
  const lines = (): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
  const stopped = (): number => Number(/^(\d+) +--- stopped by SIGSTOP/m.exec(lines())?.[1] ?? 0);
  await expect.poll(() => isOver || stopped() > 0, { timeout: 20_000, interval: 2 }).toBe(true);
  const pid = stopped();
  if (pid === 0) return;
  try {
    await meanwhile(pid);
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

/** strace's options, but for where it writes. */
export const tracing = (fault?: Fault): string[] => [
  "-qq",
  "-s",
  "80",
  ...(fault && "stop" in fault ? ["-f", "-b", "execve"] : []), // for the process id; not the programs it starts
  ...(fault ? ["-e", `trace=${nameOf(fault)}`, "-e", injection(fault)] : ["-e", `trace=!${untraced.join(",")}`]),
];

const nameOf = (fault: Fault): string =>
  ("kill" in fault ? fault.kill : "stop" in fault ? fault.stop : fault.fail).name;

function injection(fault: Fault): string {
  if ("kill" in fault) return `inject=${fault.kill.name}:signal=KILL:when=${fault.kill.nth}`;
  if ("stop" in fault) return `inject=${fault.stop.name}:signal=STOP:when=${fault.stop.nth}`;
  return `inject=${fault.fail.name}:error=${fault.errno}:when=${fault.fail.nth}`;
}

/** Calls podwire itself makes, in order: from the first one that looks so, as reading its configuration. */
export function systemCalls(lines: string[], first = /^read\(0, /): SystemCall[] {
  const counts = new Map<string, number>();
  const calls = lines.flatMap((text): SystemCall[] => {
    const name = /^(\w+)\(/.exec(text)?.[1];
    if (name === undefined) return [];
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    return [{ name, nth, text }];
  });
  const start = calls.findIndex(({ text }) => first.test(text));
  if (start < 0) throw new Error(`podwire did not begin:\n${lines.join("\n")}`);
  return calls.slice(start);
}

/** Calls that only look, wait, or make and close what is the process's own. Whatever is not here counts as a change. */
const looks = new Set([
  "read",
  "pread64",
  "readlink",
  "readlinkat",
  "lseek",
  "close",
  "dup",
  "dup2",
  "dup3",
  "fcntl",
  "ioctl",
  "pipe2",
  "access",
  "faccessat",
  "faccessat2",
  "stat",
  "lstat",
  "fstat",
  "newfstatat",
  "statx",
  "statfs",
  "fstatfs",
  "getdents64",
  "getpid",
  "gettid",
  "getuid",
  "getcwd",
  "getrandom",
  "prlimit64",
  "poll",
  "ppoll",
  "nanosleep",
  "clock_nanosleep",
  "socket",
  "bind",
  "setns",
  "setsockopt",
  "getsockopt",
  "getsockname",
  "recvfrom",
  "recvmsg",
  "pidfd_open",
  "wait4",
  "waitid",
]);

/**
 * A single netlink message that asks. In rtnetlink every fourth number is a GET, in nftables (0xa00) every third;
 * strace names them where it knows the socket.
 */
function asks(text: string): boolean {
  const type = /^sendto\(\d+, \[\{nlmsg_len=\d+, nlmsg_type=(\S+?)[, ]/.exec(text)?.[1] ?? "";
  if (/(RTM|MSG)_GET[A-Z]+$/.test(type)) return true;
  const number = Number(type);
  return number < 0x100 ? (number & 3) === 2 : number >> 8 === 0xa && (number & 0xff) % 3 === 1;
}

/** Calls that change something outside of the process; the last ones, which print the answer and end it, too. */
export const changes = ({ name, text }: SystemCall): boolean =>
  /^open(at)?$/.test(name)
    ? /O_CREAT|O_TRUNC/.test(text)
    : (!looks.has(name) && !asks(text)) || text.includes("TUNSET");

const fileCalls = new Set([
  "open",
  "openat",
  "ftruncate",
  "fsync",
  "fchmod",
  "link",
  "linkat",
  "symlink",
  "symlinkat",
  "unlink",
  "unlinkat",
  "rmdir",
  "rename",
  "renameat",
  "renameat2",
  "mkdir",
  "mkdirat",
  "utimensat",
  "flock",
  "statx",
  "statfs",
  "readlinkat",
  "getdents64",
  "access",
  "faccessat",
]);
/** Calls on files and devices, that a disk or a permission can make fail. */
export const onFiles = ({ name, text }: SystemCall): boolean =>
  fileCalls.has(name) || text.includes("TUNSET") || (name === "write" && !/^write\([12],/.test(text));

const netlinkCalls = new Set(["sendto", "recvfrom", "poll", "ppoll", "nanosleep", "clock_nanosleep"]);
/** Calls on netlink sockets, and waits. */
export const onNetlink = ({ name }: SystemCall): boolean => netlinkCalls.has(name);

import { existsSync, writeFile, writeSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import { promisify } from "node:util";
import { host, libcCall, libcWait } from "./host.ts";
import { inNamespace } from "./inside.ts";
import { prepareStart } from "./spawn.ts";

const pipe2 = libcCall("pipe2", "int bytes int");
const waitpid = libcCall("waitpid", "int int bytes int");

/** What the smallest of pipes holds. */
const PIPE_BYTES = 4096;
const O_CLOEXEC = 0o2000000;
const WNOHANG = 1;

export interface ProgramOptions {
  /** path of the network namespace it runs in; this process's own when absent */
  netns?: string;
  input?: string;
  /** the whole environment of the program; this process's own when absent */
  env?: Record<string, string>;
  cwd?: string;
  timeoutMs?: number;
}

export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program to its end; a non-zero exit is an outcome, not an exception, as is a program that is not there (127)
 * and a namespace that is not (1). Rejects when a signal ended it, or when it took too long, after which it is killed.
 */
export async function runProgram(command: string, args: string[], options: ProgramOptions = {}): Promise<Outcome> {
  const { netns, input = "", env = process.env, cwd, timeoutMs = 120_000 } = options;
  if (netns !== undefined && !existsSync(netns)) return failed(1, `no namespace ${netns}`);
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  const theirs = [stdin.read, stdout.write, stderr.write];
  // who is waited for by podwire is told of it, and a runtime that asks for VERSION is not waited for at all
  const isTold = Buffer.byteLength(input) <= PIPE_BYTES;
  if (isTold) tell(stdin.write, input);
  const pid = inNamespace(netns, prepareStart({ command: [command, ...args], env, fds: theirs, cwd }));
  for (const fd of theirs) host.close(fd);
  const said = [text(stdout.read), text(stderr.read)] as const;
  if (!isTold) void give(stdin.write, input);
  if (pid < 0) {
    await Promise.all(said);
    return failed(-pid === constants.errno.ENOENT ? 127 : 126, `cannot execute ${command}: errno ${-pid}`);
  }
  const status = await inTime(ended(pid, said), timeoutMs, () => {
    process.kill(pid, "SIGKILL"); // what it started may go on, and is not waited for
    return new Error(`${command} was killed as it took more than ${timeoutMs} ms`);
  });
  if ((status & 0x7f) !== 0) throw new Error(`${command} was ended by signal ${status & 0x7f}`);
  return { exitCode: status >> 8, stdout: await said[0], stderr: await said[1] };
}

const failed = (exitCode: number, message: string): Outcome => ({ exitCode, stdout: "", stderr: `${message}\n` });

function pipe(): { read: number; write: number } {
  const fds = new Int32Array(2);
  const result = pipe2(new Uint8Array(fds.buffer), O_CLOEXEC);
  if (result < 0) throw new Error(`pipe2: errno ${-result}`);
  return { read: fds[0]!, write: fds[1]! };
}

/** All that comes out of a pipe; closes it. */
async function text(fd: number): Promise<string> {
  const chunks: Buffer[] = [];
  const socket = new Socket({ fd, readable: true, writable: false });
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** Writes what a pipe holds and closes it. */
function tell(fd: number, input: string): void {
  if (input !== "") writeSync(fd, input);
  host.close(fd);
}

/** Writes to a pipe and closes it; the program need not read. */
async function give(fd: number, input: string): Promise<void> {
  await promisify(writeFile)(fd, input).catch(() => undefined);
  host.close(fd);
}

/** What comes of it, or, after a time, the error of `giveUp`. */
async function inTime<T>(outcome: Promise<T>, timeoutMs: number, giveUp: () => Error): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(giveUp()), timeoutMs);
  });
  return Promise.race([outcome, late]).finally(() => clearTimeout(timer));
}

/** The wait status of a process, which mostly ends when nothing more can come out of it. */
async function ended(pid: number, said: readonly Promise<string>[]): Promise<number> {
  const status = new Int32Array(1);
  await Promise.all(said);
  if (waitpid(pid, new Uint8Array(status.buffer), WNOHANG) === pid) return status[0]!;
  return libcWait(pid);
}

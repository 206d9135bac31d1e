import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { constants } from "node:os";
import koffi from "koffi";
import type { Ended, Host } from "../../src/kernel/host.ts";

/** What a call takes: numbers, C strings, addresses of bytes, and arrays of C strings that end with null. */
type Argument = number | string | Uint8Array | null | readonly (string | null)[];
type Call = (...args: Argument[]) => number;

const library = koffi.load("libc.so.6");
const types: Record<string, string> = {
  int: "int",
  uint: "unsigned int",
  long: "long",
  bytes: "void *",
  text: "const char *",
  texts: "const char **",
};

/**
 * A function of the C library with the manners of `Host`: it returns its result or the negative errno, and -EINVAL,
 * without a call, where a text has a NUL in it. `signature` names the types of the result and of the parameters, as in
 * "int text int".
 */
export function libcCall(name: string, signature: string): Call {
  const [result, ...parameters] = signature.split(" ").map((word) => types[word]!);
  const call = library.func(name, result!, parameters) as Call;
  return (...args) => {
    if (args.some((value) => typeof value === "string" && value.includes("\0"))) return -constants.errno.EINVAL;
    const value = call(...args);
    return value < 0 ? -koffi.errno() : value;
  };
}

const wait = library.func("waitpid", "int", ["int", "void *", "int"]);

/** The wait status of a child, without stopping this thread until there is one. */
export async function libcWait(pid: number): Promise<number> {
  const status = new Int32Array(1);
  const result = await new Promise<number>((resolve, reject) => {
    wait.async(pid, status, 0, (error: Error | null, value: number) => (error ? reject(error) : resolve(value)));
  });
  if (result !== pid) throw new Error(`waitpid of ${pid} failed`);
  return status[0]!;
}

const calls = {
  open: libcCall("open", "int text int uint"),
  close: libcCall("close", "int int"),
  read: libcCall("read", "long int bytes long"),
  write: libcCall("write", "long int bytes long"),
  fsync: libcCall("fsync", "int int"),
  ftruncate: libcCall("ftruncate", "int int long"),
  link: libcCall("link", "int text text"),
  unlink: libcCall("unlink", "int text"),
  rename: libcCall("rename", "int text text"),
  mkdir: libcCall("mkdir", "int text uint"),
  rmdir: libcCall("rmdir", "int text"),
  symlink: libcCall("symlink", "int text text"),
  readlink: libcCall("readlink", "long text bytes long"),
  fchmod: libcCall("fchmod", "int int uint"),
  access: libcCall("access", "int text int"),
  statx: libcCall("statx", "int int text int uint bytes"),
  statfs: libcCall("statfs", "int text bytes"),
  getdents64: libcCall("getdents64", "long int bytes long"),
  flock: libcCall("flock", "int int int"),
  poll: libcCall("poll", "int bytes long int"),
  usleep: libcCall("usleep", "int uint"),
  futimens: libcCall("futimens", "int int bytes"),
  ioctl: libcCall("ioctl", "int int long long"),
  ioctlOn: libcCall("ioctl", "int int long bytes"),
  setns: libcCall("setns", "int int int"),
  socket: libcCall("socket", "int int int int"),
  bind: libcCall("bind", "int int bytes uint"),
  connect: libcCall("connect", "int int bytes uint"),
  send: libcCall("send", "long int bytes long int"),
  sendto: libcCall("sendto", "long int bytes long int bytes uint"),
  listen: libcCall("listen", "int int int"),
  accept4: libcCall("accept4", "int int bytes bytes int"),
  recv: libcCall("recv", "long int bytes long int"),
  setsockopt: libcCall("setsockopt", "int int int int bytes uint"),
  getsockopt: libcCall("getsockopt", "int int int int bytes bytes"),
  getrandom: libcCall("getrandom", "long bytes long uint"),
} as const;

/**
 * The engine's interface for Node, on the C library. A network namespace belongs to a thread, and all of this is done
 * by the thread that calls, so a test that enters one does so on Node's main thread, which also starts all programs.
 */
export const host: Host = {
  exit: (code) => process.exit(code),
  open: calls.open,
  close: calls.close,
  read: (fd, into) => calls.read(fd, into, into.length),
  write: (fd, bytes) => calls.write(fd, bytes, bytes.length),
  fsync: calls.fsync,
  ftruncate: calls.ftruncate,
  link: calls.link,
  unlink: calls.unlink,
  rename: calls.rename,
  mkdir: calls.mkdir,
  rmdir: calls.rmdir,
  symlink: calls.symlink,
  readlink: (path, into) => calls.readlink(path, into, into.length),
  fchmod: calls.fchmod,
  access: calls.access,
  statx: calls.statx,
  statfs: calls.statfs,
  getdents64: (fd, into) => calls.getdents64(fd, into, into.length),
  flock: calls.flock,
  poll: (list, ms) => calls.poll(list, list.length / 8, ms),
  sleep: calls.usleep,
  futimens: calls.futimens,
  ioctl: (fd, request, argument) =>
    typeof argument === "number" ? calls.ioctl(fd, request, argument) : calls.ioctlOn(fd, request, argument),
  setns: calls.setns,
  socket: calls.socket,
  bind: (fd, address) => calls.bind(fd, address, address.length),
  connect: (fd, address) => calls.connect(fd, address, address.length),
  send: (fd, bytes, flags) => calls.send(fd, bytes, bytes.length, flags),
  sendTo: (fd, bytes, flags, address) => calls.sendto(fd, bytes, bytes.length, flags, address, address.length),
  listen: calls.listen,
  accept: (fd, flags) => calls.accept4(fd, null, null, flags),
  // what only the daemon needs, which is not run under Node
  attachFilter: () => -constants.errno.ENOSYS,
  signals: () => -constants.errno.ENOSYS,
  recv: (fd, into, flags) => calls.recv(fd, into, into.length, flags),
  setsockopt: (fd, level, option, value) => calls.setsockopt(fd, level, option, value, value.length),
  getsockopt: calls.getsockopt,
  getrandom: (into) => calls.getrandom(into, into.length, 0),
  getpid: () => process.pid,
  nanoseconds: () => Number(process.hrtime.bigint()),
  sha512: (text) => createHash("sha512").update(text, "utf8").digest("hex"),
  run,
};

/** What a `NAME=value` says. */
const variable = (entry: string): [string, string] => {
  const at = entry.indexOf("=");
  return [entry.slice(0, at), entry.slice(at + 1)];
};

function run(...[file, argv, environment, input, deadlineMs]: Parameters<Host["run"]>): Ended | number {
  if ([file, ...argv, ...environment].some((text) => text.includes("\0"))) return -constants.errno.EINVAL;
  const [argv0 = file, ...args] = argv;
  const { error, status, signal, stdout, stderr } = spawnSync(file, args, {
    argv0,
    env: Object.fromEntries(environment.map(variable)),
    input,
    timeout: Math.max(1, Math.ceil(deadlineMs)),
    killSignal: "SIGKILL",
    maxBuffer: 64 << 20,
  });
  const { code, errno = 0 } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === "ENOBUFS") return -constants.errno.EFBIG;
  // EPIPE: the program ended without having read all of its input
  if (error && code !== "ETIMEDOUT" && code !== "EPIPE") return errno;
  const ended = signal === null ? (status ?? 0) << 8 : constants.signals[signal];
  // plain bytes: a Buffer would let code pass that the engine does not run
  const written = { stdout: Uint8Array.from(stdout), stderr: Uint8Array.from(stderr) };
  return { status: ended, timedOut: code === "ETIMEDOUT", ...written };
}

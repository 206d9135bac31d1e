import { SystemError } from "./system-error.ts";

export * from "./system-error.ts";

// The one place that loads libc. File access goes this way too: importing node:fs costs a podwire process 0.9 ms, these
// functions nothing measurable, and a call here blocks the thread that entered a namespace, as it must.
// Bun.FFI is what module bun:ffi is made of; that module's own code would cost every podwire process 0.4 ms.
const { dlopen, read: peek } = (Bun as unknown as { FFI: Pick<typeof import("bun:ffi"), "dlopen" | "read"> }).FFI;
/** The values of FFIType, which is in that module. */
const [i32, u32, i64, u64, pointer, none] = [5, 6, 7, 8, 12, 13] as const;
const library = dlopen("libc.so.6", {
  _exit: { args: [i32], returns: none },
  __errno_location: { args: [], returns: pointer },
  open: { args: [pointer, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  read: { args: [i32, pointer, u64], returns: i64 },
  write: { args: [i32, pointer, u64], returns: i64 },
  fsync: { args: [i32], returns: i32 },
  ftruncate: { args: [i32, i64], returns: i32 },
  link: { args: [pointer, pointer], returns: i32 },
  unlink: { args: [pointer], returns: i32 },
  rename: { args: [pointer, pointer], returns: i32 },
  mkdir: { args: [pointer, u32], returns: i32 },
  rmdir: { args: [pointer], returns: i32 },
  symlink: { args: [pointer, pointer], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  access: { args: [pointer, i32], returns: i32 },
  statx: { args: [i32, pointer, i32, u32, pointer], returns: i32 },
  statfs: { args: [pointer, pointer], returns: i32 },
  getdents64: { args: [i32, pointer, u64], returns: i64 },
  flock: { args: [i32, i32], returns: i32 },
  poll: { args: [pointer, u64, i32], returns: i32 },
  usleep: { args: [u32], returns: i32 },
  futimens: { args: [i32, pointer], returns: i32 },
  ioctl: { args: [i32, u64], returns: i32 },
  setns: { args: [i32, i32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  send: { args: [i32, pointer, u64, i32], returns: i64 },
  recv: { args: [i32, pointer, u64, i32], returns: i64 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
});
if (library instanceof Error) throw library;
const c = library.symbols;

/** fcntl.h, asm-generic values (the same on x86-64 and arm64 but for O_DIRECTORY and O_NOFOLLOW, which are not used). */
export const O = { RDONLY: 0, WRONLY: 1, RDWR: 2, CREAT: 0o100, EXCL: 0o200, TRUNC: 0o1000, APPEND: 0o2000, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
/** sys/file.h */
export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const;

const errno = (): number => peek.i32(c.__errno_location()!, 0);
const encoder = new TextEncoder();
/** Text as bytes; ready at once, where the first Buffer.from(text) takes 0.1 ms. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** A path for libc; one with a NUL in it would be another, shorter one. */
function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw new SystemError("use path", 22 /* EINVAL */, JSON.stringify(text));
  return utf8(`${text}\0`);
}

function check(result: number | bigint, syscall: string, target = ""): number {
  const value = Number(result);
  if (value < 0) throw new SystemError(syscall, errno(), target);
  return value;
}

/** Repeats a call that a signal interrupted (EINTR), as every slow call must. */
function restart(call: () => number | bigint, syscall: string, target = ""): number {
  for (;;) {
    const value = Number(call());
    if (value >= 0) return value;
    const number = errno();
    if (number !== 4 /* EINTR */) throw new SystemError(syscall, number, target);
  }
}

/** Opens `path` with O_CLOEXEC added; returns the file descriptor. */
export const open = (path: string, flags: number, mode = 0): number => {
  const name = cString(path);
  return restart(() => c.open(name, flags | O.CLOEXEC, mode), "open", path);
};
/** Ends the process at once; process.exit would take the JavaScript engine apart first. */
export const exit = (code: number): never => c._exit(code) as never;
export const close = (fd: number): void => void c.close(fd);
export const fsync = (fd: number): void => void check(c.fsync(fd), "fsync");
export const truncate = (fd: number, length: number): void => void check(c.ftruncate(fd, BigInt(length)), "ftruncate");
export const fchmod = (fd: number, mode: number): void => void check(c.fchmod(fd, mode), "fchmod");
export const link = (from: string, to: string): void => void check(c.link(cString(from), cString(to)), "link", to);
export const symlink = (to: string, path: string): void => void check(c.symlink(cString(to), cString(path)), "symlink", path);
export const unlink = (path: string): void => void check(c.unlink(cString(path)), "unlink", path);
export const rename = (from: string, to: string): void => void check(c.rename(cString(from), cString(to)), "rename", to);
export const mkdir = (path: string, mode: number): void => void check(c.mkdir(cString(path), mode), "mkdir", path);
export const rmdir = (path: string): void => void check(c.rmdir(cString(path)), "rmdir", path);
/** Sets the time an open file was last modified, in nanoseconds since 1970; the access time stays. */
export function setModified(fd: number, nanoseconds: bigint): void {
  const times = Buffer.alloc(32); // struct timespec { s64 tv_sec; s64 tv_nsec; } for access and modification
  times.writeBigInt64LE(0x3ffffffen /* UTIME_OMIT, linux/stat.h */, 8);
  times.writeBigInt64LE(nanoseconds / 1_000_000_000n, 16);
  times.writeBigInt64LE(nanoseconds % 1_000_000_000n, 24);
  check(c.futimens(fd, times), "futimens");
}
/** Waits at most this long (less when a signal comes). */
export const sleep = (microseconds: number): void => void c.usleep(microseconds);
export const exists = (path: string): boolean => c.access(cString(path), 0) === 0;
/** True when files can be made in a directory: write and search permission, on a file system that is not read-only. */
export const isWritable = (directory: string): boolean => c.access(cString(directory), 2 | 1) === 0;

/** Reads at most `buffer.length` bytes; returns how many came, 0 at the end of the file. */
export const read = (fd: number, buffer: Uint8Array): number => restart(() => c.read(fd, buffer, buffer.length), "read");

/** Writes everything, waiting where a pipe is full; throws SystemError (EPIPE, ENOSPC ...). */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0; ) {
    const written = Number(c.write(fd, rest, rest.length));
    if (written >= 0) rest = rest.subarray(written);
    else awaitRetry(fd, POLLOUT, "write");
  }
}

const POLLIN = 1;
const POLLOUT = 4;

/** After a failed read or write: returns when it is worth trying again (EINTR; EAGAIN once the descriptor is ready), throws otherwise. */
function awaitRetry(fd: number, events: number, syscall: string): void {
  const number = errno();
  if (number === 4 /* EINTR */) return;
  if (number !== 11 /* EAGAIN */) throw new SystemError(syscall, number);
  waitFor(fd, events, -1);
}

/** Waits until `fd` is ready for `events` or `timeoutMs` is over (-1: for ever); false when time ran out. */
function waitFor(fd: number, events: number, timeoutMs: number): boolean {
  const request = Buffer.alloc(8); // struct pollfd { int fd; short events; short revents; }
  request.writeInt32LE(fd, 0);
  request.writeInt16LE(events, 4);
  return restart(() => c.poll(request, 1, timeoutMs), "poll") > 0;
}

/** True when `fd` has something to read within `timeoutMs`. */
export const waitReadable = (fd: number, timeoutMs: number): boolean => waitFor(fd, POLLIN, timeoutMs);

/** Everything up to the end of the file, for at most `limit` bytes; more than that is an EFBIG error. */
export function readAll(fd: number, limit = 64 << 20): Buffer {
  const chunks: Buffer[] = [];
  let size = 4096;
  for (let total = 0; ; ) {
    const chunk = Buffer.allocUnsafe(size);
    const count = Number(c.read(fd, chunk, size));
    if (count < 0) {
      awaitRetry(fd, POLLIN, "read");
      continue;
    }
    if (count === 0) return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    total += count;
    if (total > limit) throw new SystemError("read", 27 /* EFBIG */);
    chunks.push(chunk.subarray(0, count));
    size = Math.min(size * 2, 1 << 20);
  }
}

/** What statx(2) says: `mtime` and `ctime` in nanoseconds since 1970, `type` the S_IFMT bits of the mode. */
export interface Stat {
  type: number;
  mode: number;
  links: number;
  size: number;
  /** device as `major:minor`, with `inode` the identity of the file */
  device: string;
  inode: bigint;
  mtime: bigint;
}

/** linux/stat.h */
export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

/** The file at `path` (links followed) or, for a number, the open file. */
export function stat(file: string | number): Stat {
  const out = Buffer.alloc(256); // struct statx, linux/stat.h
  const [fd, path, flags] = typeof file === "number" ? [file, "", AT_EMPTY_PATH] : [AT_FDCWD, file, 0];
  check(c.statx(fd, cString(path), flags, STATX_BASIC_STATS, out), "statx", path);
  const mode = out.readUInt16LE(28);
  return {
    type: mode & S_IFMT,
    mode: mode & 0o7777,
    links: out.readUInt32LE(16),
    inode: out.readBigUInt64LE(32),
    size: Number(out.readBigUInt64LE(40)),
    mtime: out.readBigInt64LE(112) * 1_000_000_000n + BigInt(out.readUInt32LE(120)),
    device: `${out.readUInt32LE(136)}:${out.readUInt32LE(140)}`,
  };
}

/** `f_type` of the file system that holds `path` (linux/magic.h). */
export function fileSystemType(path: string): number {
  const out = Buffer.alloc(120); // struct statfs, 64 bit
  restart(() => c.statfs(cString(path), out), "statfs", path);
  return Number(out.readBigInt64LE(0));
}

/** The next part of an open directory: linux_dirent64 records in `buffer`, and how many bytes of them; 0 at the end. */
export const getdents = (fd: number, buffer: Uint8Array): number => check(c.getdents64(fd, buffer, buffer.length), "getdents64");

/** Takes a flock(2) without waiting; false when somebody else holds it. */
export function tryLock(fd: number, operation: number): boolean {
  try {
    restart(() => c.flock(fd, operation | LOCK.NB), "flock");
    return true;
  } catch (error) {
    if (error instanceof SystemError && error.code === "EAGAIN") return false;
    throw error;
  }
}

/** sched.h */
export const CLONE_NEWNET = 0x40000000;
/** linux/nsfs.h: _IO(0xb7, 3), Linux 4.11 */
const NS_GET_NSTYPE = 0xb703;
/** What an open namespace is one of (CLONE_NEW...); undefined for a file that is no namespace. */
export function namespaceType(fd: number): number | undefined {
  const type = c.ioctl(fd, NS_GET_NSTYPE);
  return type < 0 ? undefined : type;
}
export const setns = (fd: number, type: number): void => void check(c.setns(fd, type), "setns");

export const socket = (domain: number, type: number, protocol: number): number => check(c.socket(domain, type, protocol), "socket");
export const bind = (fd: number, address: Uint8Array): void => void check(c.bind(fd, address, address.length), "bind");
export const send = (fd: number, bytes: Uint8Array): number => restart(() => c.send(fd, bytes, bytes.length, 0), "send");
/** Receives one datagram that is there already and returns its length; -1 when there is none. */
export function receiveNow(fd: number, buffer: Uint8Array): number {
  const length = Number(c.recv(fd, buffer, buffer.length, MSG_DONTWAIT));
  if (length >= 0) return length;
  const number = errno();
  if (number === 11 /* EAGAIN */) return -1; // the usual end of a reply: an exception would cost more than the call
  if (number === 4 /* EINTR */) return receiveNow(fd, buffer);
  throw new SystemError("recv", number);
}
/** linux/socket.h */
const MSG_DONTWAIT = 0x40;
export const setsockopt = (fd: number, level: number, option: number, value: Uint8Array): void =>
  void check(c.setsockopt(fd, level, option, value, value.length), "setsockopt");

/** A socket option of `size` bytes, or undefined where the kernel does not know it (ENOPROTOOPT). */
export function findSockopt(fd: number, level: number, option: number, size: number): Buffer | undefined {
  const value = Buffer.alloc(size);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(size);
  if (c.getsockopt(fd, level, option, value, length) === 0) return value;
  const number = errno();
  if (number === 92 /* ENOPROTOOPT */) return undefined;
  throw new SystemError("getsockopt", number);
}

import { viewOf } from "../net/bytes.ts";
import { host } from "./host.ts";
import { SystemError } from "./system-error.ts";

export * from "./system-error.ts";

// System calls that throw a SystemError where they fail, on what the engine offers (host.ts): files and descriptors
// here, sockets in socket.ts.

/** asm-generic/fcntl.h: what is the same on x86-64 and arm64, as O_DIRECTORY and O_NOFOLLOW are not. */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  /** O_NOFOLLOW and O_LARGEFILE, which says nothing to 64 bits: arm64 has their bits the other way round */
  NOFOLLOW: 0o500000,
  CLOEXEC: 0o2000000,
} as const;
/** sys/file.h */
export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const;
const ENOENT = 2;
export const EINTR = 4;
export const EAGAIN = 11;
const ENOTDIR = 20;
const EINVAL = 22;
const ENAMETOOLONG = 36;
const ELOOP = 40;

/** The result of a call, or its SystemError. */
export function check(result: number, syscall: string, target = ""): number {
  if (result < 0) throw new SystemError(syscall, -result, target);
  return result;
}

/** As `check`, but repeats a call that a signal interrupted, as every slow one must. */
export function restart(call: () => number, syscall: string, target = ""): number {
  for (;;) {
    const result = call();
    if (result !== -EINTR) return check(result, syscall, target);
  }
}

/** Opens `path` with O_CLOEXEC added; returns the file descriptor. */
export const open = (path: string, flags: number, mode = 0): number =>
  restart(() => host.open(path, flags | O.CLOEXEC, mode), "open", path);
/** Ends the process at once. */
export const exit = (code: number): never => host.exit(code);
export const close = (fd: number): void => void host.close(fd);
export const fsync = (fd: number): void => void check(host.fsync(fd), "fsync");
export const truncate = (fd: number, length: number): void => void check(host.ftruncate(fd, length), "ftruncate");
export const fchmod = (fd: number, mode: number): void => void check(host.fchmod(fd, mode), "fchmod");
export const link = (from: string, to: string): void => void check(host.link(from, to), "link", to);
export const symlink = (to: string, path: string): void => void check(host.symlink(to, path), "symlink", path);
export const unlink = (path: string): void => void check(host.unlink(path), "unlink", path);
export const rename = (from: string, to: string): void => void check(host.rename(from, to), "rename", to);
export const mkdir = (path: string, mode: number): void => void check(host.mkdir(path, mode), "mkdir", path);
export const rmdir = (path: string): void => void check(host.rmdir(path), "rmdir", path);

/** Sets the time an open file was last modified, in nanoseconds since 1970; the access time stays. */
export function setModified(fd: number, nanoseconds: bigint): void {
  const times = new Uint8Array(32); // struct timespec { s64 tv_sec; s64 tv_nsec; } for access and modification
  const view = viewOf(times);
  view.setBigInt64(8, 0x3ffffffen /* UTIME_OMIT, linux/stat.h */, true);
  view.setBigInt64(16, nanoseconds / 1_000_000_000n, true);
  view.setBigInt64(24, nanoseconds % 1_000_000_000n, true);
  check(host.futimens(fd, times), "futimens");
}

/** Waits at most this long (less when a signal comes). */
export const sleep = (microseconds: number): void => void host.sleep(microseconds);

/** unistd.h: what access(2) is asked for. */
const F_OK = 0;
const X_OK = 1;
const W_OK = 2;
/** What access(2) says of a path at which nothing is, or, too long, with a NUL or a circle of links in it, can be. */
const NOTHING_THERE = [-ENOENT, -ENOTDIR, -ENAMETOOLONG, -ELOOP, -EINVAL];

/** Whether something is there; where that cannot be told (EACCES, EIO), it is a SystemError. */
export function exists(path: string): boolean {
  const result = host.access(path, F_OK);
  return !NOTHING_THERE.includes(result) && check(result, "access", path) === 0;
}
export const isExecutable = (path: string): boolean => host.access(path, X_OK) === 0;
/** True when files can be made in a directory: write and search permission, on a file system that is not read-only. */
export const isWritable = (directory: string): boolean => host.access(directory, W_OK | X_OK) === 0;

/** Reads at most `buffer.length` bytes; returns how many came, 0 at the end of the file. */
export const read = (fd: number, buffer: Uint8Array): number => restart(() => host.read(fd, buffer), "read");

/** Writes everything, waiting where a pipe is full; throws SystemError (EPIPE, ENOSPC ...). */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0;) {
    const written = host.write(fd, rest);
    if (written >= 0) rest = rest.subarray(written);
    else awaitRetry(fd, written, POLLOUT, "write");
  }
}

/** asm-generic/poll.h */
const POLLIN = 1;
const POLLOUT = 4;

/**
 * After a failed read or write: returns when it is worth trying again (EINTR; EAGAIN once the descriptor is ready),
 * throws otherwise.
 */
function awaitRetry(fd: number, failure: number, events: number, syscall: string): void {
  if (failure === -EINTR) return;
  if (failure !== -EAGAIN) throw new SystemError(syscall, -failure);
  waitFor(fd, events, -1);
}

/** Waits until `fd` is ready for `events` or `timeoutMs` is over (-1: for ever); false when time ran out. */
function waitFor(fd: number, events: number, timeoutMs: number): boolean {
  const request = new Uint8Array(8); // struct pollfd { int fd; short events; short revents; }
  const view = viewOf(request);
  view.setInt32(0, fd, true);
  view.setInt16(4, events, true);
  return restart(() => host.poll(request, timeoutMs), "poll") > 0;
}

/** True when `fd` has something to read within `timeoutMs`. */
export const waitReadable = (fd: number, timeoutMs: number): boolean => waitFor(fd, POLLIN, timeoutMs);

/** True when `fd` takes something within `timeoutMs`. */
export const waitWritable = (fd: number, timeoutMs: number): boolean => waitFor(fd, POLLOUT, timeoutMs);

/** Everything up to the end of the file, for at most `limit` bytes; more than that is an EFBIG error. */
export function readAll(fd: number, limit = 64 << 20): Uint8Array {
  let buffer = new Uint8Array(4096);
  for (let length = 0; ;) {
    if (length === buffer.length) {
      const larger = new Uint8Array(Math.min(length * 2, limit + 1));
      larger.set(buffer);
      buffer = larger;
    }
    const count = host.read(fd, buffer.subarray(length));
    if (count === 0) return buffer.subarray(0, length);
    if (count < 0) awaitRetry(fd, count, POLLIN, "read");
    else length += count;
    if (length > limit) throw new SystemError("read", 27 /* EFBIG */);
  }
}

/** What statx(2) says: `mtime` in nanoseconds since 1970, `type` the S_IFMT bits of the mode. */
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
const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;
export const S_IFLNK = 0o120000;
/** linux/fcntl.h */
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

/** The file at `path` (links followed) or, for a number, the open file. */
export const stat = (file: string | number): Stat =>
  typeof file === "number" ? statx(file, "", AT_EMPTY_PATH) : statx(AT_FDCWD, file, 0);
/** As `stat`, but of a link itself. */
export const lstat = (path: string): Stat => statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);

/** The S_IFMT bits of an open file's mode. */
export const typeOf = (fd: number): number => modeOf(readStatx(fd, "", AT_EMPTY_PATH)) & S_IFMT;

/** As `typeOf`, with the number of names the file has. */
export function typeAndNamesOf(fd: number): [type: number, names: number] {
  const statx = readStatx(fd, "", AT_EMPTY_PATH);
  return [modeOf(statx) & S_IFMT, viewOf(statx).getUint32(16, true)];
}

/** When a file or folder was made, in nanoseconds since 1970; 0 where its file system does not know. */
export function birthOf(path: string): bigint {
  const statx = readStatx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME);
  return timeAt(viewOf(statx), 80);
}

/** struct statx */
function readStatx(directory: number, path: string, flags: number, mask = STATX_BASIC_STATS): Uint8Array {
  const out = new Uint8Array(256);
  check(host.statx(directory, path, flags, mask, out), "statx", path);
  return out;
}

/** struct statx_timestamp { s64 tv_sec; u32 tv_nsec; } */
const timeAt = (view: DataView, at: number): bigint =>
  view.getBigInt64(at, true) * 1_000_000_000n + BigInt(view.getUint32(at + 8, true));

const modeOf = (statx: Uint8Array): number => statx[28]! | (statx[29]! << 8);

function statx(directory: number, path: string, flags: number): Stat {
  const out = readStatx(directory, path, flags);
  const view = viewOf(out);
  const mode = modeOf(out);
  return {
    type: mode & S_IFMT,
    mode: mode & 0o7777,
    links: view.getUint32(16, true),
    inode: view.getBigUint64(32, true),
    size: Number(view.getBigUint64(40, true)),
    mtime: timeAt(view, 112),
    device: `${view.getUint32(136, true)}:${view.getUint32(140, true)}`,
  };
}

/** `f_type` of the file system that holds `path` (linux/magic.h). */
export function fileSystemType(path: string): number {
  const out = new Uint8Array(120); // struct statfs, 64 bit
  restart(() => host.statfs(path, out), "statfs", path);
  return Number(viewOf(out).getBigInt64(0, true));
}

/** The next part of an open directory: linux_dirent64 records in `buffer`, and how many bytes of them; 0 at the end. */
export const getdents = (fd: number, buffer: Uint8Array): number => check(host.getdents64(fd, buffer), "getdents64");

/** Takes a flock(2) without waiting; false when somebody else holds it. */
export function tryLock(fd: number, operation: number): boolean {
  const result = host.flock(fd, operation | LOCK.NB);
  if (result === -EAGAIN) return false;
  return result === -EINTR ? tryLock(fd, operation) : check(result, "flock") === 0;
}

/** sched.h */
export const CLONE_NEWNET = 0x40000000;
/** linux/nsfs.h: _IO(0xb7, 3), Linux 4.11 */
const NS_GET_NSTYPE = 0xb703;
/** What an open namespace is one of (CLONE_NEW...); undefined for a file that is no namespace. */
export function namespaceType(fd: number): number | undefined {
  const type = host.ioctl(fd, NS_GET_NSTYPE, 0);
  return type < 0 ? undefined : type;
}
/** asm-generic/ioctls.h */
const TCGETS = 0x5401;
const EFAULT = 14;
/** Whether an open file is a terminal: only one gets as far as to find that it was given no room for the answer. */
export const isTerminal = (fd: number): boolean => host.ioctl(fd, TCGETS, 0) === -EFAULT;
export const setns = (fd: number, type: number): void => void check(host.setns(fd, type), "setns");

import { decodeUtf8, encodeUtf8, viewOf } from "../net/bytes.ts";
import { host } from "./host.ts";
import {
  check,
  close,
  getdents,
  lstat,
  mkdir,
  O,
  open,
  readAll,
  S_IFREG,
  stat,
  type Stat,
  truncate,
  typeAndNamesOf,
  typeOf,
  unlink,
  writeAll,
} from "./linux.ts";
import { isErrno, SystemError } from "./system-error.ts";

/** Opens, runs `use`, closes whatever happens. Nothing is waited for: of a pipe nobody may ever take the other end. */
export function withFile<T>(path: string, flags: number, mode: number, use: (fd: number) => T): T {
  const fd = open(path, flags | O.NONBLOCK, mode);
  try {
    return use(fd);
  } catch (error) {
    throw naming(path, error);
  } finally {
    close(fd);
  }
}

/** What was done to a descriptor failed: the error names its file. */
const naming = (path: string, error: unknown): unknown =>
  error instanceof SystemError && error.target === "" && ["read", "write", "fsync", "ftruncate"].includes(error.syscall)
    ? new SystemError(error.syscall, error.errno, path)
    : error;

const notPlain = (path: string): SystemError => new SystemError("open", 22 /* EINVAL */, `${path}, no plain file`);

function assertPlain(fd: number, path: string): void {
  if (typeOf(fd) !== S_IFREG) throw notPlain(path);
}

/** What a regular file holds, though a link may lead to it: what else is there could never end. */
export const readFile = (path: string, limit?: number): Uint8Array =>
  withFile(path, O.RDONLY, 0, (fd) => {
    assertPlain(fd, path);
    return readAll(fd, limit);
  });

/** A file's content as text; what is no UTF-8 becomes U+FFFD. */
export const readText = (path: string): string => decodeUtf8(readFile(path));

/** As `readText`, but undefined when the file is missing, unreadable or no file. */
export function findText(path: string): string | undefined {
  try {
    return readText(path);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/**
 * Opens a file to write to, which is made when it is missing. Only a regular file that stands at the path itself is
 * written to: through a link root would write elsewhere, and a pipe nobody reads would hold the call for ever. So it
 * would into a file that has another name: a new one takes its place, but for one that is added to, and one that is
 * `linked` with just that content.
 */
export function withOwnFile<T>(
  path: string,
  mode: number,
  use: (fd: number) => T,
  { append = 0, linked }: { append?: number; linked?: string } = {},
): T {
  let fd = open(path, O.WRONLY | O.CREAT | O.NOFOLLOW | O.NONBLOCK | append, mode);
  try {
    const [type, names] = typeAndNamesOf(fd);
    if (type !== S_IFREG) throw notPlain(path);
    if (names > 1 && (linked === undefined || findText(path) !== linked)) {
      if (append) throw new SystemError("open", 31 /* EMLINK */, path);
      removeFile(path);
      const fresh = open(path, O.WRONLY | O.CREAT | O.EXCL, mode);
      close(fd);
      fd = fresh;
    }
    return use(fd);
  } catch (error) {
    throw naming(path, error);
  } finally {
    close(fd);
  }
}

/** Opens a file that is made when it is missing; not where a link leads to nothing. */
export function openOrMake(path: string, flags: number, mode: number): number {
  try {
    return open(path, flags | O.NONBLOCK);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  try {
    return open(path, flags | O.NONBLOCK | O.CREAT | O.EXCL, mode); // O_EXCL follows no link
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    return open(path, flags | O.NONBLOCK); // somebody else made it just now
  }
}

/** Creates or empties `path` and writes `text`; not atomic, not flushed to disk. */
export const writeFile = (path: string, text: string, mode = 0o600): void =>
  withOwnFile(path, mode, (fd) => {
    truncate(fd, 0);
    writeAll(fd, encodeUtf8(text));
  });

/**
 * As `writeFile`, over the old content: ext4 sends a file that was emptied and written again to the disk as it is
 * closed (its auto_da_alloc), which takes ten times as long.
 */
export const overwriteFile = (path: string, text: string, mode = 0o600): void =>
  withOwnFile(path, mode, (fd) => {
    const bytes = encodeUtf8(text);
    writeAll(fd, bytes);
    truncate(fd, bytes.length);
  });

/** Adds text to the end of a file, which is made when it is missing. */
export const appendFile = (path: string, text: string, mode: number): void =>
  withOwnFile(path, mode, (fd) => writeAll(fd, encodeUtf8(text)), { append: O.APPEND });

/** As `stat`, but undefined when nothing is there. */
export const findStat = (path: string): Stat | undefined => whereThere(() => stat(path));
/** As `findStat`, but of a link itself. */
export const findLstat = (path: string): Stat | undefined => whereThere(() => lstat(path));

function whereThere<T>(look: () => T, ...more: string[]): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", ...more)) return undefined;
    throw error;
  }
}

/** limits.h: the longest path there is, and so the longest text of a link. */
const PATH_MAX = 4096;

/** Where a symbolic link points. */
export function readLink(path: string): string {
  const text = new Uint8Array(PATH_MAX);
  return decodeUtf8(text.subarray(0, check(host.readlink(path, text), "readlink", path)));
}

/** struct linux_dirent64 { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[]; }, padded to 8 bytes */
const DIRENT_BYTES = 24;

/** No more entries than this has a directory, 0 where there is none; quicker than to look at every one. */
export const entriesAtMost = (path: string): number =>
  whereThere(() =>
    withFile(path, O.RDONLY, 0, (fd) => {
      const buffer = new Uint8Array(64 << 10);
      let bytes = 0;
      for (let count = getdents(fd, buffer); count > 0; count = getdents(fd, buffer)) bytes += count;
      return Math.floor(bytes / DIRENT_BYTES);
    }),
  ) ?? 0;

/** Names in a directory, without `.` and `..`, in the order the file system gives them. */
function readDirectory(path: string): string[] {
  return withFile(path, O.RDONLY, 0, (fd) => {
    const names: string[] = [];
    const buffer = new Uint8Array(64 << 10);
    const view = viewOf(buffer);
    for (;;) {
      const count = getdents(fd, buffer);
      if (count === 0) return names;
      for (let at = 0; at < count; at += view.getUint16(at + 16, true)) {
        const name = decodeUtf8(buffer.subarray(at + 19, buffer.indexOf(0, at + 19)));
        if (name !== "." && name !== "..") names.push(name);
      }
    }
  });
}

/** As `readDirectory`, none when there is no such directory. */
export const namesIn = (path: string): string[] => whereThere(() => readDirectory(path), "ENAMETOOLONG") ?? [];

/** Creates a directory and those above it, as far as they are missing. */
export function ensureDirectory(path: string, mode = 0o755): void {
  const missing: string[] = [];
  for (let at = path; at !== "" && !makeDirectory(at, mode); at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) {
    missing.push(at);
  }
  for (const at of missing.reverse()) {
    // removed meanwhile, or /proc, which makes none
    if (!makeDirectory(at, mode)) throw new SystemError("mkdir", 2 /* ENOENT */, at);
  }
}

/** True when the directory is there now, false when the one above it is missing. */
function makeDirectory(path: string, mode: number): boolean {
  try {
    mkdir(path, mode);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    if (!isErrno(error, "EEXIST")) throw error;
  }
  return true;
}

/** Removes a file; true when it was there. */
export function removeFile(path: string): boolean {
  try {
    unlink(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP")) return false;
    // the kernel asks whether it may before it looks
    if (isErrno(error, "EROFS", "EACCES", "EPERM") && !findLstat(path)) return false;
    throw error;
  }
}

import { close, getdents, O, open, readAll, stat, type Stat, truncate, utf8, writeAll } from "./libc.ts";
import { isErrno } from "./system-error.ts";

/** Opens, runs `use`, closes whatever happens. */
export function withFile<T>(path: string, flags: number, mode: number, use: (fd: number) => T): T {
  const fd = open(path, flags, mode);
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}

export const readFile = (path: string): Buffer => withFile(path, O.RDONLY, 0, (fd) => readAll(fd));

/** Creates or truncates `path` and writes `text`; not atomic, not flushed to disk. */
export const writeFile = (path: string, text: string, mode = 0o600): void =>
  withFile(path, O.WRONLY | O.CREAT | O.TRUNC, mode, (fd) => writeAll(fd, utf8(text)));

/**
 * As `writeFile`, over the old content: ext4 sends a file that was emptied and written again to the disk as it is closed
 * (its auto_da_alloc), which takes ten times as long.
 */
export const overwriteFile = (path: string, text: string, mode = 0o600): void =>
  withFile(path, O.WRONLY | O.CREAT, mode, (fd) => {
    const bytes = utf8(text);
    writeAll(fd, bytes);
    truncate(fd, bytes.length);
  });

/** As `stat`, but undefined when nothing is there. */
export function findStat(path: string): Stat | undefined {
  try {
    return stat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Names in a directory, without `.` and `..`, in the order the file system gives them. */
export function readDirectory(path: string): string[] {
  return withFile(path, O.RDONLY, 0, (fd) => {
    const names: string[] = [];
    const buffer = Buffer.allocUnsafe(64 << 10);
    for (;;) {
      const count = getdents(fd, buffer);
      if (count === 0) return names;
      // struct linux_dirent64 { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[]; }
      for (let at = 0; at < count; at += buffer.readUInt16LE(at + 16)) {
        const name = buffer.toString("utf8", at + 19, buffer.indexOf(0, at + 19));
        if (name !== "." && name !== "..") names.push(name);
      }
    }
  });
}

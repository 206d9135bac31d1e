import { Code, CniError } from "../cni/error.ts";
import { ensureDirectory, findText, openOrMake } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { waitForLock } from "../kernel/lock.ts";
import { folderPath, type LeaseFolder } from "./lease-folder.ts";

const DEADLINE_MS = 20_000;

/**
 * Runs `use` holding the lock that every user of the folder takes (the reference too): flock(2) on the file `lock`,
 * which is created, with the folder, when missing. Waits at most `deadlineMs`; then it is CniError 11, naming the
 * holder.
 */
export function withFolderLock<T>(folder: LeaseFolder, use: () => T, deadlineMs = DEADLINE_MS): T {
  const path = `${folderPath(folder)}/lock`;
  const fd = openLock(path);
  try {
    if (!waitForLock(fd, deadlineMs)) {
      throw new CniError(
        Code.TryAgainLater,
        `cannot lock ${path} within ${deadlineMs / 1000} s: ${lockHolder(fd)} holds it; try again, or end that process`,
      );
    }
    return use();
  } finally {
    linux.close(fd); // gives the lock back
  }
}

function openLock(path: string): number {
  const folder = path.slice(0, path.lastIndexOf("/"));
  try {
    return openOrMake(path, linux.O.RDONLY, 0o750);
  } catch (error) {
    // where no file can be made nobody can lease: who only looks, or frees, locks the folder in place of it
    if (linux.isErrno(error, "ENOSPC", "EDQUOT", "EROFS")) return linux.open(folder, linux.O.RDONLY);
    if (!linux.isErrno(error, "ENOENT")) throw error;
    ensureDirectory(folder);
    return openOrMake(path, linux.O.RDONLY, 0o750);
  }
}

/** Who holds the flock on an open file, in words, from /proc/locks (proc_locks(5)). */
function lockHolder(fd: number): string {
  const { device, inode } = linux.stat(fd);
  const id = `${device
    .split(":")
    .map((part) => Number(part).toString(16).padStart(2, "0"))
    .join(":")}:${inode}`;
  for (const line of (findText("/proc/locks") ?? "").split("\n")) {
    const [, kind, , , pid, file] = line.trim().split(/\s+/);
    if (kind === "FLOCK" && file === id) {
      const name = findText(`/proc/${pid}/comm`)?.trim();
      return `process ${pid}${name ? ` (${name})` : ", which has ended and left it to one that it started"}`;
    }
  }
  return "a process of another pid namespace";
}

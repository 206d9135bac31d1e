import { Code, CniError } from "../cni/error.ts";
import * as libc from "../kernel/libc.ts";
import { ensureDirectory, findText, folderPath, type LeaseFolder } from "./folder.ts";

const DEADLINE_MS = 20_000;
const FIRST_WAIT_US = 200;
const LONGEST_WAIT_US = 5_000;

/**
 * Runs `use` holding the lock that every user of the folder takes (the reference too): flock(2) on the file `lock`, which
 * is created, with the folder, when missing. Waits at most `deadlineMs`; then it is CniError 11, naming the holder.
 */
export function withFolderLock<T>(folder: LeaseFolder, use: () => T, deadlineMs = DEADLINE_MS): T {
  const path = `${folderPath(folder)}/lock`;
  const fd = openLock(path);
  try {
    acquire(fd, path, deadlineMs);
    return use();
  } finally {
    libc.close(fd); // gives the lock back
  }
}

function openLock(path: string): number {
  try {
    return libc.open(path, libc.O.RDONLY | libc.O.CREAT, 0o750);
  } catch (error) {
    if (!libc.isErrno(error, "ENOENT")) throw error;
    ensureDirectory(path.slice(0, path.lastIndexOf("/")));
    return libc.open(path, libc.O.RDONLY | libc.O.CREAT, 0o750);
  }
}

// A blocking flock cannot be given a deadline without a signal, so the lock is asked for again after short, growing waits.
function acquire(fd: number, path: string, deadlineMs: number): void {
  const deadline = Bun.nanoseconds() + deadlineMs * 1e6;
  for (let wait = FIRST_WAIT_US; !libc.tryLock(fd, libc.LOCK.EX); wait = Math.min(wait * 1.3, LONGEST_WAIT_US)) {
    if (Bun.nanoseconds() > deadline) {
      throw new CniError(Code.TryAgainLater, `cannot lock ${path} within ${deadlineMs / 1000} s: ${lockHolder(fd)} holds it; try again, or end that process`);
    }
    libc.sleep(Math.ceil(wait * (0.5 + Math.random())));
  }
}

/** Who holds the flock on an open file, in words, from /proc/locks (proc_locks(5)). */
function lockHolder(fd: number): string {
  const { device, inode } = libc.stat(fd);
  const id = `${device.split(":").map((part) => Number(part).toString(16).padStart(2, "0")).join(":")}:${inode}`;
  for (const line of (findText("/proc/locks") ?? "").split("\n")) {
    const [, kind, , , pid, file] = line.trim().split(/\s+/);
    if (kind === "FLOCK" && file === id) return `process ${pid} (${findText(`/proc/${pid}/comm`)?.trim() ?? "of another pid namespace"})`;
  }
  return "another process";
}

import { CniError, Code } from "../../cni/error.ts";
import * as libc from "../../kernel/libc.ts";

const PATH = "/run/podwire-iptables.lock";
const DEADLINE_MS = 20_000;
const LONGEST_WAIT_US = 5_000;

/**
 * Runs `use` while no other podwire changes iptables: between looking at a table and changing it another one would add the
 * same shared rules. The tools' own lock covers one of the two steps only. Where /run cannot be written there is no lock.
 */
export function withIptablesLock<T>(use: () => T): T {
  const fd = openLock();
  if (fd === undefined) return use();
  try {
    acquire(fd);
    return use();
  } finally {
    libc.close(fd);
  }
}

function openLock(): number | undefined {
  try {
    return libc.open(PATH, libc.O.RDONLY | libc.O.CREAT, 0o600);
  } catch (error) {
    if (libc.isErrno(error, "EROFS", "EACCES", "ENOENT", "EPERM")) return undefined;
    throw error;
  }
}

// A blocking flock cannot be given a deadline without a signal.
function acquire(fd: number): void {
  const deadline = Bun.nanoseconds() + DEADLINE_MS * 1e6;
  for (let wait = 200; !libc.tryLock(fd, libc.LOCK.EX); wait = Math.min(wait * 1.3, LONGEST_WAIT_US)) {
    if (Bun.nanoseconds() > deadline) throw new CniError(Code.TryAgainLater, `cannot lock ${PATH} within ${DEADLINE_MS / 1000} s: another podwire changes iptables all this time`);
    libc.sleep(Math.ceil(wait * (0.5 + Math.random())));
  }
}

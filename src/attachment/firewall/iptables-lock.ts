import { CniError, Code } from "../../cni/error.ts";
import { openOrMake } from "../../kernel/file.ts";
import * as linux from "../../kernel/linux.ts";
import { waitForLock } from "../../kernel/lock.ts";

const PATH = "/run/podwire-iptables.lock";
const DEADLINE_MS = 20_000;

/**
 * Runs `use` while no other podwire changes iptables: between looking at a table and changing it another one would add
 * the same shared rules. The tools' own lock covers one of the two steps only. Where /run cannot be written there is no
 * lock.
 */
export function withIptablesLock<T>(use: () => T): T {
  const fd = openLock();
  if (fd === undefined) return use();
  try {
    if (!waitForLock(fd, DEADLINE_MS)) {
      throw new CniError(
        Code.TryAgainLater,
        `cannot lock ${PATH} within ${DEADLINE_MS / 1000} s: another podwire changes iptables all this time`,
      );
    }
    return use();
  } finally {
    linux.close(fd);
  }
}

function openLock(): number | undefined {
  try {
    return openOrMake(PATH, linux.O.RDONLY, 0o600);
  } catch (error) {
    if (linux.isErrno(error, "EROFS", "EACCES", "ENOENT", "EPERM")) return undefined;
    throw error;
  }
}

import { findStat, namesIn } from "./file.ts";
import type { Stat } from "./linux.ts";
import { isErrno } from "./system-error.ts";

/**
 * Numbers of the processes in the network namespace at a path that see other files than this process (another mount
 * namespace), lowest first: those of a pod's containers, and no tool that somebody runs inside.
 */
export function processesInside(netns: string): number[] {
  const [wanted, own] = [findStat(netns), findStat("/proc/self/ns/mnt")];
  const numbers = namesIn("/proc").filter((name) => /^\d+$/.test(name));
  return numbers
    .filter((number) => wanted && isSame(lookAt(`/proc/${number}/ns/net`), wanted))
    .filter((number) => own && !isSame(lookAt(`/proc/${number}/ns/mnt`), own))
    .map(Number)
    .sort((a, b) => a - b);
}

/** Where a process's files are; put together here, for an executable is searched for paths of the one who built it. */
export const rootOf = (number: number): string => ["/proc", number, "root"].join("/");

const isSame = (one: Stat | undefined, other: Stat): boolean =>
  one?.inode === other.inode && one.device === other.device;

/** A process may end meanwhile, or be nobody's business. */
function lookAt(path: string): Stat | undefined {
  try {
    return findStat(path);
  } catch (error) {
    if (isErrno(error, "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

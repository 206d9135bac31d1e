import { Code, CniError } from "../cni/error.ts";
import type { Log } from "../cni/log.ts";
import { entriesAtMost, findLstat, findStat, withFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import type { HostLocalConfig } from "./config.ts";
import { candidates } from "./allocator.ts";
import { leasedAddresses, readCursor } from "./folder.ts";
import { folderPath, type LeaseFolder, leasePath } from "./lease-folder.ts";
import { findRange, formatSet, type RangeSet, sizeOf } from "./range.ts";

/**
 * STATUS: CniError 50 when no lease could be written. Takes no lock and leaves nothing; a set without free addresses is
 * only logged.
 */
export function statusOfLeases({ folder, sets }: HostLocalConfig, log?: Pick<Log, "warn">): void {
  const problem = whyNotWritable(folderPath(folder));
  if (problem !== undefined) {
    const message = `ipam.dataDir is ${JSON.stringify(folder.dataDir)}: no lease can be written there, ${problem}`;
    throw new CniError(Code.NotAvailable, message);
  }
  if (sets.flat().some(({ start }) => start.family === 6) && !findStat("/proc/sys/net/ipv6/conf")) {
    throw new CniError(Code.NotAvailable, "ipam.ranges has IPv6 addresses, and this kernel has no IPv6");
  }
  if (sets.every((set, n) => isNextFree(folder, set, n))) return;
  const files = entriesAtMost(folderPath(folder)); // with fewer of them than addresses no set can be full
  if (sets.every((set) => sizeOf(set) > files)) return;
  const leased = leasedAddresses(folder);
  sets.forEach((set, n) => {
    const used = leased.filter((ip) => findRange(set, ip)).length;
    if (used >= sizeOf(set)) {
      log?.warn(`range set ${n} (${formatSet(set)}) of network ${folder.network} is full: ${used} addresses are used`);
    }
  });
}

/** So many addresses are looked at before the folder is listed, which takes the longer the more pods there are. */
const LOOKS = 8;

/** True where one of the addresses the next ADDs would be given has no lease. */
function isNextFree(folder: LeaseFolder, set: RangeSet, n: number): boolean {
  let looks = 0;
  for (const { ip } of candidates(set, readCursor(folder, n))) {
    if (!linux.exists(leasePath(folder, ip))) return true;
    if (++looks === LOOKS) return false;
  }
  return false;
}

function whyNotWritable(path: string): string | undefined {
  try {
    const directory = nearest(path);
    if (findStat(directory)?.type !== linux.S_IFDIR || !linux.isWritable(directory)) {
      return `${directory} is no directory that podwire may write to`;
    }
    tryToWrite(directory);
    return undefined;
  } catch (error) {
    if (error instanceof linux.SystemError) return error.message;
    throw error;
  }
}

/** asm-generic/fcntl.h: __O_TMPFILE with O_DIRECTORY, of x86-64 and of arm64; the other one's is EINVAL */
const O_TMPFILE = [0o20200000, 0o20040000];

/** SystemError on a disk that is full, or of which no more may be had: what is written to is a file without a name. */
function tryToWrite(directory: string): void {
  for (const flag of O_TMPFILE) {
    try {
      withFile(directory, flag | linux.O.WRONLY, 0o600, (fd) => linux.writeAll(fd, new Uint8Array(1)));
    } catch (error) {
      if (linux.isErrno(error, "ENOSPC", "EDQUOT")) throw error; // not every file system has such files
    }
  }
}

/** The path, or the nearest one above it at which something is, a link to nothing too. */
function nearest(path: string): string {
  if (path === "" || path === "/") return "/";
  if (isSomething(path)) return path;
  return path.includes("/") ? nearest(path.slice(0, path.lastIndexOf("/"))) : ".";
}

/** SystemError also where nothing can ever be: a name that is too long. */
const isSomething = (path: string): boolean => findLstat(path) !== undefined;

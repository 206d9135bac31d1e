import { Code, CniError } from "../cni/error.ts";
import type { Log } from "../cni/log.ts";
import { entriesAtMost, findStat } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import type { HostLocalConfig } from "./config.ts";
import { candidates } from "./allocator.ts";
import { leasedAddresses, readCursor } from "./folder.ts";
import { folderPath, type LeaseFolder, leasePath } from "./lease-folder.ts";
import { findRange, formatSet, type RangeSet, sizeOf } from "./range.ts";

/**
 * STATUS: CniError 50 when no lease could be written. Takes no lock and writes nothing; a set without free addresses is
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
    const isDirectory = findStat(directory)?.type === linux.S_IFDIR;
    return isDirectory && linux.isWritable(directory)
      ? undefined
      : `${directory} is no directory that podwire may write to`;
  } catch (error) {
    if (error instanceof linux.SystemError) return error.message;
    throw error;
  }
}

/** The path, or the nearest one above it that exists. */
function nearest(path: string): string {
  if (path === "" || path === "/") return "/";
  if (!path.includes("/")) return linux.exists(path) ? path : ".";
  return linux.exists(path) ? path : nearest(path.slice(0, path.lastIndexOf("/")));
}

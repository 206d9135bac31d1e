import { Code, CniError } from "../cni/error.ts";
import type { Log } from "../cni/log.ts";
import { findStat } from "../kernel/file.ts";
import * as libc from "../kernel/libc.ts";
import type { HostLocalConfig } from "./config.ts";
import { folderPath, leasedAddresses } from "./folder.ts";
import { findRange, formatSet, sizeOf } from "./range.ts";

/** STATUS: CniError 50 when no lease could be written. Takes no lock and writes nothing; a set without free addresses is only logged. */
export function statusOfLeases({ folder, sets }: HostLocalConfig, log?: Pick<Log, "warn">): void {
  const directory = nearest(folderPath(folder));
  if (findStat(directory)?.type !== libc.S_IFDIR || !libc.isWritable(directory)) {
    throw new CniError(Code.NotAvailable, `ipam.dataDir is ${JSON.stringify(folder.dataDir)}: no lease can be written there, ${directory} is no directory that podwire may write to`);
  }
  const leased = leasedAddresses(folder);
  sets.forEach((set, n) => {
    const used = leased.filter((ip) => findRange(set, ip)).length;
    if (used >= sizeOf(set)) log?.warn(`range set ${n} (${formatSet(set)}) of network ${folder.network} is full: ${used} addresses are used`);
  });
}

/** The path, or the nearest one above it that exists. */
function nearest(path: string): string {
  if (path === "" || path === "/") return "/";
  if (!path.includes("/")) return libc.exists(path) ? path : ".";
  return libc.exists(path) ? path : nearest(path.slice(0, path.lastIndexOf("/")));
}

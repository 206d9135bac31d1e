import { findStat, overwriteFile, withFile, writeFile } from "../kernel/file.ts";
import * as libc from "../kernel/libc.ts";
import { formatIp, type Ip, parseIp } from "../net/ip.ts";
import { asidePath, findText, folderPath, type Holder, leasedAddresses, type LeaseFolder, readLease } from "./folder.ts";

// Who holds what, from the last time that every lease file was read. podwire's own leases are found by their records, so
// it need not be read again until somebody else (the reference) changed the folder. That shows in the folder's time of
// modification: podwire ends every operation by setting it to a time of its own and noting that in the stamp. The
// kernel's clock for files ticks every few milliseconds, so a foreign change in the same tick would not move the
// kernel's time, but it always replaces ours.

const censusPath = (folder: LeaseFolder): string => `${asidePath(folder)}/.census`;
const stampPath = (folder: LeaseFolder): string => `${asidePath(folder)}/.stamp`;

/** After a crash of the machine a record may be missing though its lease is there: a stamp counts for one boot only. */
const stampText = (modified: bigint): string => `${findText("/proc/sys/kernel/random/boot_id")?.trim() ?? ""} ${modified}\n`;

/** True when nobody but podwire changed the folder since the last `stampFolder`. To be called under the lock. */
export function isStamped(folder: LeaseFolder): boolean {
  const stat = findStat(folderPath(folder));
  return stat !== undefined && findText(stampPath(folder)) === stampText(stat.mtime);
}

/** Says that census and records together are complete. To be called under the lock, after the last change. */
export function stampFolder(folder: LeaseFolder): void {
  withFile(folderPath(folder), libc.O.RDONLY, 0, (fd) => {
    const ours = BigInt(Date.now()) * 1_000_000n + BigInt(1 + Math.floor(Math.random() * 999_998));
    libc.setModified(fd, ours);
    // A file system that keeps whole seconds only cannot tell changes apart: no stamp there, every lookup reads all leases
    if (libc.stat(fd).mtime === ours) overwriteFile(stampPath(folder), stampText(ours));
  });
}

/** Reads every lease file and keeps who holds which address. To be called under the lock. */
export function takeCensus(folder: LeaseFolder): void {
  const lines = leasedAddresses(folder).flatMap((ip) => {
    const holder = readLease(folder, ip);
    return holder === undefined || holder === "torn" ? [] : [`${key(holder)}${formatIp(ip)}\n`];
  });
  const fresh = `${censusPath(folder)}.new`;
  writeFile(fresh, `\n${lines.join("")}`);
  libc.rename(fresh, censusPath(folder));
}

/** `<container id>:<ifname> `: neither part can hold a colon or a space. */
const key = ({ containerId, ifname }: Holder): string => `${containerId}:${ifname ?? ""} `;

function mapFile(path: string): Buffer {
  try {
    return Buffer.from(Bun.mmap(path).buffer);
  } catch (error) {
    throw new libc.SystemError("mmap", Math.abs((error as { errno?: number }).errno ?? 5 /* EIO */), path);
  }
}

/** The addresses the holder had when the census was taken. */
export function findInCensus(folder: LeaseFolder, holder: Holder): Ip[] {
  if (!libc.exists(censusPath(folder))) return [];
  // Mapped and searched as bytes: reading ten thousand leases and making lines of them would take longer than the rest of
  // an ADD. The file is never shortened, only replaced, so the map stays good.
  const bytes = mapFile(censusPath(folder));
  const wanted = Buffer.from(`\n${key(holder)}`);
  const ips: Ip[] = [];
  for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + wanted.length)) {
    const ip = parseIp(bytes.toString("utf8", at + wanted.length, bytes.indexOf("\n", at + wanted.length)));
    if (ip) ips.push(ip);
  }
  return ips;
}

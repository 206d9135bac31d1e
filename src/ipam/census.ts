import { findStat, findText, overwriteFile, removeFile, withFile, writeFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { randomFraction } from "../kernel/random.ts";
import { decodeUtf8, encodeUtf8, indexOfBytes } from "../net/bytes.ts";
import { formatIp, type Ip, parseIp } from "../net/ip.ts";
import { isHolder, leasedAddresses, readLease } from "./folder.ts";
import { ensureAside } from "../node/record.ts";
import { asidePath } from "../node/record-folder.ts";
import { folderPath, type Holder, type LeaseFolder } from "./lease-folder.ts";

// Who holds what, from the last time that every lease file was read. podwire's own leases are found by their records,
// so it need not be read again until somebody else (the reference) changed the folder. That shows in the folder's time
// of modification: podwire ends every operation by setting it to a time of its own and noting that in the stamp. The
// kernel's clock for files ticks every few milliseconds, so a foreign change in the same tick would not move the
// kernel's time, but it always replaces ours.

const censusPath = (folder: LeaseFolder): string => `${asidePath(folder)}/.census`;
const stampPath = (folder: LeaseFolder): string => `${asidePath(folder)}/.stamp`;

/** Runs `work`, which can be done without: an error of the system passes. */
export function tolerant(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof linux.SystemError)) throw error;
  }
}

/** After a crash of the machine a record may be missing though its lease is there: a stamp counts for one boot only. */
export const bootId = (): string => findText("/proc/sys/kernel/random/boot_id")?.trim() ?? "";

const stampText = (boot: string, modified: bigint): string => `${boot} ${modified}\n`;

/** True when nobody but podwire changed the folder since the last `stampFolder`. To be called under the lock. */
export function isStamped(folder: LeaseFolder, boot: string): boolean {
  const stat = findStat(folderPath(folder));
  return stat !== undefined && findText(stampPath(folder)) === stampText(boot, stat.mtime);
}

/** Says that census and records together are complete. To be called under the lock, after the last change. */
export function stampFolder(folder: LeaseFolder, boot: string): void {
  withFile(folderPath(folder), linux.O.RDONLY, 0, (fd) => {
    const ours = BigInt(Date.now()) * 1_000_000n + BigInt(1 + Math.floor(randomFraction() * 999_998));
    linux.setModified(fd, ours);
    // A file system that keeps whole seconds only cannot tell changes apart: no stamp there, every lookup reads all
    // leases
    if (linux.stat(fd).mtime === ours) overwriteFile(stampPath(folder), stampText(boot, ours));
  });
}

/** Reads every lease file: a line each of who holds which address. To be called under the lock. */
export const readCensus = (folder: LeaseFolder): string[] =>
  leasedAddresses(folder).flatMap((ip) => {
    const holder = readLease(folder, ip);
    return !isHolder(holder) ? [] : [`${key(holder)}${formatIp(ip)}`];
  });

/**
 * Keeps what `readCensus` gave; false on a disk that is full or read-only, where the former one says nothing any more.
 */
export function keepCensus(folder: LeaseFolder, lines: readonly string[]): boolean {
  const fresh = `${censusPath(folder)}.new`;
  try {
    ensureAside(folder);
    writeFile(fresh, `\n${lines.map((line) => `${line}\n`).join("")}`);
    linux.rename(fresh, censusPath(folder));
    return true;
  } catch (error) {
    if (!(error instanceof linux.SystemError)) throw error;
    for (const path of [fresh, stampPath(folder)]) tolerant(() => removeFile(path));
    return false;
  }
}

/** `<container id>:<ifname> `: neither part can hold a colon or a space. */
const key = ({ containerId, ifname }: Holder): string => `${containerId}:${ifname ?? ""} `;

/** A lease as the census has it. */
export interface Counted {
  holder: Holder;
  ip: Ip;
}

/**
 * The leases a container had when the census was taken, of all its interfaces and of files that name none; `lines`: the
 * census, where it was read just now.
 */
export function findInCensus(folder: LeaseFolder, containerId: string, lines?: readonly string[]): Counted[] {
  const own = `${containerId}:`;
  const found = lines
    ? lines.flatMap((line) => (line.startsWith(own) ? [line.slice(own.length)] : []))
    : linesOf(folder, own);
  return found.flatMap((line) => {
    const space = line.indexOf(" ");
    const [ifname, ip] = [line.slice(0, space), parseIp(line.slice(space + 1))];
    return ip ? [{ holder: { containerId, ...(ifname !== "" && { ifname }) }, ip }] : [];
  });
}

/** What follows `beginning` in the lines of the census that was kept. */
const linesOf = (folder: LeaseFolder, beginning: string): string[] =>
  linux.exists(censusPath(folder))
    ? withFile(censusPath(folder), linux.O.RDONLY, 0, (fd) => linesAfter(fd, encodeUtf8(`\n${beginning}`)))
    : [];

const NEWLINE = 10;
/** Read at once at first: most networks have few leases. */
const FIRST_BYTES = 4 << 10;
/** Read at once at most; longer than any line, for no lease file is looked at beyond 16 KiB. */
const CHUNK_BYTES = 64 << 10;

/**
 * What follows `wanted`, a newline and the beginning of a line, up to the end of its line, for each such line. The file
 * is searched as bytes: making lines of ten thousand leases would take longer than the rest of an ADD.
 */
function linesAfter(fd: number, wanted: Uint8Array): string[] {
  const found: string[] = [];
  let buffer = new Uint8Array(FIRST_BYTES);
  for (let kept = 0; ;) {
    const count = linux.read(fd, buffer.subarray(kept));
    if (count === 0) return found;
    const filled = buffer.subarray(0, kept + count);
    const last = filled.lastIndexOf(NEWLINE);
    const lines = filled.subarray(0, last + 1);
    for (let at = indexOfBytes(lines, wanted); at >= 0; at = indexOfBytes(lines, wanted, at + wanted.length)) {
      const start = at + wanted.length;
      found.push(decodeUtf8(lines.subarray(start, lines.indexOf(NEWLINE, start))));
    }
    // the newline and what came of the last line; bytes without any newline are no census
    kept = last > 0 ? filled.length - last : filled.length < CHUNK_BYTES ? filled.length : 0;
    if (buffer.length < CHUNK_BYTES) {
      buffer = new Uint8Array(CHUNK_BYTES);
      buffer.set(filled.subarray(filled.length - kept));
    } else buffer.copyWithin(0, filled.length - kept, filled.length);
  }
}

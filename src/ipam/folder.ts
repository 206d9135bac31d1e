import { findText, namesIn, overwriteFile, withFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { decodeUtf8 } from "../net/bytes.ts";
import { formatIp, type Ip, parseIp } from "../net/ip.ts";
import { cursorPath, decodeLease, folderPath, type Holder, type LeaseFolder, leasePath } from "./lease-folder.ts";

/**
 * Room for the longest content that is looked at (a container id has no limit, but paths do), decoded as soon as it is
 * read.
 */
const content = new Uint8Array(16 << 10);

/**
 * What is at an address's place: nothing (undefined), a holder, "torn" for anything that is no lease, or "unreadable"
 * for what this process may not read, or the disk does not give.
 */
export function readLease(folder: LeaseFolder, ip: Ip): Holder | "torn" | "unreadable" | undefined {
  try {
    return getLease(folder, ip);
  } catch (error) {
    if (error instanceof linux.SystemError) return "unreadable";
    throw error;
  }
}

/** True for a lease that says whose it is. */
export const isHolder = (found: ReturnType<typeof readLease>): found is Holder => typeof found === "object";

/**
 * What stands at an address's place though no lease can be there: a folder, a pipe nobody writes to, a link to itself.
 */
const ODD_FILES = ["EISDIR", "ENXIO", "ELOOP", "EAGAIN", "EINVAL"];

/** As `readLease`, but a file that could not be read (EIO, EACCES) is an error: whose it is nobody knows. */
function getLease(folder: LeaseFolder, ip: Ip): Holder | "torn" | undefined {
  try {
    // Not blocking, one read: whatever a person left there (a pipe, a folder) must not stop a pod
    return withFile(
      leasePath(folder, ip),
      linux.O.RDONLY,
      0,
      (fd) => decodeLease(decodeUtf8(content.subarray(0, linux.read(fd, content)))) ?? "torn",
    );
  } catch (error) {
    if (linux.isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    if (linux.isErrno(error, ...ODD_FILES)) return "torn";
    throw error;
  }
}

/** True when the lease of `ip` is exactly this holder's; throws SystemError when that cannot be known. */
export function isHeldBy(folder: LeaseFolder, ip: Ip, holder: Holder): boolean {
  const found = getLease(folder, ip);
  return (
    found !== undefined &&
    found !== "torn" &&
    found.containerId === holder.containerId &&
    found.ifname === holder.ifname
  );
}

/** The addresses that have a file, whatever is in it; names that are not an address's canonical text are no leases. */
export function leasedAddresses(folder: LeaseFolder): Ip[] {
  const ips: Ip[] = [];
  for (const name of namesIn(folderPath(folder))) {
    const ip = parseIp(name);
    if (ip && formatIp(ip) === name) ips.push(ip);
  }
  return ips;
}

/**
 * The address a range set handed out last; undefined when the file is missing or says nothing that can be understood.
 */
export const readCursor = (folder: LeaseFolder, set: number): Ip | undefined =>
  parseIp(findText(cursorPath(folder, set)) ?? "");

/** Not flushed to disk and not atomic, as in the reference: a cursor that is lost costs nothing but the order. */
export const writeCursor = (folder: LeaseFolder, set: number, ip: Ip): void =>
  overwriteFile(cursorPath(folder, set), formatIp(ip), 0o600);

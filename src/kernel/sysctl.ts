import { decodeUtf8, encodeUtf8 } from "../net/bytes.ts";
import { withFile } from "./file.ts";
import * as linux from "./linux.ts";

const file = (path: string): string => `/proc/sys/${path}`;

/**
 * The value of a sysctl (path below /proc/sys) in the current network namespace, or undefined where the kernel has no
 * such one.
 */
export function findSysctl(path: string): string | undefined {
  try {
    return withFile(file(path), linux.O.RDONLY, 0, (fd) => decodeUtf8(linux.readAll(fd))).trim();
  } catch (error) {
    if (linux.isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Writes a sysctl in the current network namespace unless it already reads so (a read-only /proc/sys that is right is
 * no error).
 */
export function ensureSysctl(path: string, value: string): void {
  if (findSysctl(path) !== value) writeSysctl(path, value);
}

/** Writes a sysctl in the current network namespace. */
export const writeSysctl = (path: string, value: string): void =>
  withFile(file(path), linux.O.WRONLY, 0, (fd) => linux.writeAll(fd, encodeUtf8(value)));

/** As `writeSysctl`; false where this kernel has no such sysctl (built without IPv6, or older than it). */
export function writeSysctlIfKnown(path: string, value: string): boolean {
  try {
    writeSysctl(path, value);
    return true;
  } catch (error) {
    if (linux.isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** False where a sysctl that is there cannot be written, whoever asks (/proc/sys is read-only), or may not be. */
export function mayWriteSysctl(path: string): boolean {
  try {
    return withFile(file(path), linux.O.WRONLY, 0, () => true);
  } catch (error) {
    if (linux.isErrno(error, "EROFS", "EPERM", "EACCES")) return false;
    throw error;
  }
}

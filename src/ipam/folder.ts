import { overwriteFile, readDirectory, readFile, withFile } from "../kernel/file.ts";
import * as libc from "../kernel/libc.ts";
import { formatIp, type Ip, parseIp } from "../net/ip.ts";

/** Where the leases of one network are: `<dataDir>/<network>`, which the reference host-local may use at the same time. */
export interface LeaseFolder {
  dataDir: string;
  network: string;
}

/** Who has a lease; `ifname` is absent in files of old versions, which hold the container id alone. */
export interface Holder {
  containerId: string;
  ifname?: string;
}

export type LeaseOwner = Required<Holder>;

export const folderPath = ({ dataDir, network }: LeaseFolder): string => `${dataDir}/${network}`;
/** What podwire knows besides: no network is named with a dot in front, so the reference never looks there. */
export const asidePath = ({ dataDir, network }: LeaseFolder): string => `${dataDir}/.podwire/${network}`;
export const leasePath = (folder: LeaseFolder, ip: Ip): string => `${folderPath(folder)}/${formatIp(ip)}`;
export const cursorPath = (folder: LeaseFolder, set: number): string => `${folderPath(folder)}/last_reserved_ip.${set}`;

/** Creates a directory and those above it, as far as they are missing. */
export function ensureDirectory(path: string): void {
  const missing: string[] = [];
  for (let at = path; at !== "" && !makeDirectory(at); at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) missing.push(at);
  for (const at of missing.reverse()) {
    if (!makeDirectory(at)) throw new libc.SystemError("mkdir", 2 /* ENOENT */, at); // removed meanwhile, or /proc, which makes none
  }
}

/** True when the directory is there now, false when the one above it is missing. */
function makeDirectory(path: string): boolean {
  try {
    libc.mkdir(path, 0o755);
  } catch (error) {
    if (libc.isErrno(error, "ENOENT")) return false;
    if (!libc.isErrno(error, "EEXIST")) throw error;
  }
  return true;
}

/** Removes a file; true when it was there. */
export function removeFile(path: string): boolean {
  try {
    libc.unlink(path);
    return true;
  } catch (error) {
    if (libc.isErrno(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/** The content of a lease file: id, CR LF, interface name, and no newline at the end. */
export const encodeLease = ({ containerId, ifname }: LeaseOwner): string => `${containerId}\r\n${ifname}`;

// Neither zeros (blocks that were never written before a crash) nor bytes that are no text make an interface name
const leaseText = /^([a-zA-Z0-9][\w.-]*)(?:\r\n([^\s/:\0\ufffd]{1,15}))?$/;

/** Who a lease file's content names, or undefined when it was never written by host-local or was cut short. */
export function decodeLease(content: string): Holder | undefined {
  const [, containerId, ifname] = leaseText.exec(content.trim()) ?? [];
  return containerId === undefined ? undefined : ifname === undefined ? { containerId } : { containerId, ifname };
}

/** Longest content of a lease file that is looked at; a container id has no limit, but paths do. */
const MAX_LEASE_BYTES = 16 << 10;

/** What is at an address's place: nothing (undefined), a holder, or "torn" for anything that is no readable lease. */
export function readLease(folder: LeaseFolder, ip: Ip): Holder | "torn" | undefined {
  try {
    return getLease(folder, ip);
  } catch (error) {
    if (error instanceof libc.SystemError) return "torn";
    throw error;
  }
}

/** What stands at an address's place though no lease can be there: a folder, a pipe nobody writes to, a link to itself. */
const ODD_FILES = ["EISDIR", "ENXIO", "ELOOP", "EAGAIN", "EINVAL"];

/** As `readLease`, but a file that could not be read (EIO, EACCES) is an error: whose it is nobody knows. */
function getLease(folder: LeaseFolder, ip: Ip): Holder | "torn" | undefined {
  try {
    // Not blocking, one read: whatever a person left there (a pipe, a folder) must not stop a pod
    return withFile(leasePath(folder, ip), libc.O.RDONLY | libc.O.NONBLOCK, 0, (fd) => {
      const buffer = Buffer.alloc(MAX_LEASE_BYTES);
      return decodeLease(buffer.toString("utf8", 0, libc.read(fd, buffer))) ?? "torn";
    });
  } catch (error) {
    if (libc.isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    if (libc.isErrno(error, ...ODD_FILES)) return "torn";
    throw error;
  }
}

/** True when the lease of `ip` is exactly this holder's; throws SystemError when that cannot be known. */
export function isHeldBy(folder: LeaseFolder, ip: Ip, holder: Holder): boolean {
  const found = getLease(folder, ip);
  return found !== undefined && found !== "torn" && found.containerId === holder.containerId && found.ifname === holder.ifname;
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

/** Names in a directory, none when it does not exist. */
export function namesIn(path: string): string[] {
  try {
    return readDirectory(path);
  } catch (error) {
    if (libc.isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** A file's text, or undefined when it is missing, unreadable or no file. */
export function findText(path: string): string | undefined {
  try {
    return readFile(path).toString();
  } catch (error) {
    if (error instanceof libc.SystemError) return undefined;
    throw error;
  }
}

/** The address a range set handed out last; undefined when the file is missing or says nothing that can be understood. */
export const readCursor = (folder: LeaseFolder, set: number): Ip | undefined => parseIp(findText(cursorPath(folder, set)) ?? "");

/** Not flushed to disk and not atomic, as in the reference: a cursor that is lost costs nothing but the order. */
export const writeCursor = (folder: LeaseFolder, set: number, ip: Ip): void => overwriteFile(cursorPath(folder, set), formatIp(ip), 0o600);

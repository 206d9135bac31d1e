import { encodeUtf8, viewOf } from "../net/bytes.ts";
import { withFile } from "./file.ts";
import { host } from "./host.ts";
import * as linux from "./linux.ts";

/** linux/if_tun.h */
const IFF_TAP = 0x2;
const IFF_MULTI_QUEUE = 0x100;
const IFF_NO_PI = 0x1000;
const IFF_TUN_EXCL = 0x8000;
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNSETGROUP = 0x400454ce;
/** linux/if.h: struct ifreq has the name in 16 bytes, then a union of 24, here of the flags */
const IFNAMSIZ = 16;
const SIZE_OF_IFREQ = 40;

export interface TapOptions {
  multiQueue: boolean;
  owner?: number;
  group?: number;
}

/**
 * Makes a TAP device in the current network namespace, down, without packet information; EBUSY where the name is taken.
 * It goes when the descriptor is closed, unless `keepTap` was called.
 */
export function openTap(name: string, { multiQueue, owner, group }: TapOptions): number {
  const fd = linux.open("/dev/net/tun", linux.O.RDWR);
  try {
    const request = new Uint8Array(SIZE_OF_IFREQ);
    request.set(encodeUtf8(name));
    const flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (multiQueue ? IFF_MULTI_QUEUE : 0);
    viewOf(request).setUint16(IFNAMSIZ, flags, true);
    linux.check(host.ioctl(fd, TUNSETIFF, request), "ioctl TUNSETIFF", name);
    if (owner !== undefined) linux.check(host.ioctl(fd, TUNSETOWNER, owner), "ioctl TUNSETOWNER", `${owner}`);
    if (group !== undefined) linux.check(host.ioctl(fd, TUNSETGROUP, group), "ioctl TUNSETGROUP", `${group}`);
    return fd;
  } catch (error) {
    linux.close(fd);
    throw error;
  }
}

/** The TAP device outlives the descriptor, and this process. */
export const keepTap = (fd: number): void => void linux.check(host.ioctl(fd, TUNSETPERSIST, 1), "ioctl TUNSETPERSIST");

const EXEC_LABEL = "/proc/thread-self/attr/exec";

/** Runs `use`, which starts a program, and the program has that SELinux label; EINVAL where there can be none such. */
export function withExecLabel<T>(label: string, use: () => T): T {
  setExecLabel(label);
  try {
    return use();
  } finally {
    setExecLabel("\n"); // none
  }
}

const setExecLabel = (label: string): void =>
  withFile(EXEC_LABEL, linux.O.WRONLY, 0, (fd) => linux.writeAll(fd, encodeUtf8(label)));

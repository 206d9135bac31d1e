import { findStat, withFile } from "./file.ts";
import * as libc from "./libc.ts";

const SELF = "/proc/thread-self/ns/net";
/** linux/magic.h */
const NSFS_MAGIC = 0x6e736673;
const PROC_SUPER_MAGIC = 0x9fa0;
const SOL_SOCKET = 1;
/** linux/socket.h */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
/** asm-generic/socket.h, Linux 5.14 */
const SO_NETNS_COOKIE = 71;

/** What a CNI_NETNS path leads to: nothing, a file that is no network namespace, the one this process is in, or another. */
export function namespaceKind(path: string): "missing" | "no namespace" | "own" | "other" {
  const stat = path === "" ? undefined : findStat(path);
  if (!stat) return "missing";
  if (![NSFS_MAGIC, PROC_SUPER_MAGIC].includes(libc.fileSystemType(path))) return "no namespace";
  if (withFile(path, libc.O.RDONLY, 0, libc.namespaceType) !== libc.CLONE_NEWNET) return "no namespace"; // another kind, or any file of /proc
  const own = libc.stat(SELF);
  return own.inode === stat.inode && own.device === stat.device ? "own" : "other";
}

export const isOwnNamespace = (path: string): boolean => namespaceKind(path) === "own";

/** Opens a network namespace by its path; the caller closes it. */
export const openNamespace = (path: string): number => libc.open(path, libc.O.RDONLY);

/**
 * Runs `use` with the thread in another network namespace and comes back, whatever happens: only to open sockets and to
 * write sysctls. If the way back fails the process must not go on: everything it does next would hit the pod.
 */
export function inNamespace<T>(fd: number, use: () => T): T {
  const own = libc.open(SELF, libc.O.RDONLY);
  try {
    libc.setns(fd, libc.CLONE_NEWNET);
    return use();
  } finally {
    try {
      libc.setns(own, libc.CLONE_NEWNET);
    } catch (error) {
      libc.writeAll(2, Buffer.from(`podwire: cannot return to the host's network namespace: ${error}\n`));
      process.exit(1);
    }
    libc.close(own);
  }
}

/** The kernel's number of the network namespace a socket belongs to, never used twice in a boot; undefined before Linux 5.14. */
export const cookieOfSocket = (socket: number): bigint | undefined => libc.findSockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, 8)?.readBigUInt64LE(0);

/** As `cookieOfSocket` for the namespace at a path; undefined where nothing (or no namespace) is there, or the kernel has no cookies. */
export function namespaceCookie(path: string): bigint | undefined {
  if (!["own", "other"].includes(namespaceKind(path))) return undefined;
  const fd = openNamespace(path);
  try {
    const socket = inNamespace(fd, () => libc.socket(AF_UNIX, SOCK_DGRAM, 0));
    const cookie = cookieOfSocket(socket);
    libc.close(socket);
    return cookie;
  } finally {
    libc.close(fd);
  }
}

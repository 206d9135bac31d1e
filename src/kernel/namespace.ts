import { viewOf } from "../net/bytes.ts";
import { findStat, withFile } from "./file.ts";
import * as linux from "./linux.ts";
import { findSockopt, socket } from "./socket.ts";
import { complain } from "./stderr.ts";
import { print } from "./stdout.ts";

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

/**
 * What a CNI_NETNS path leads to: nothing, a file that is no network namespace, the one this process is in, or another.
 */
export function namespaceKind(path: string): "missing" | "no namespace" | "own" | "other" {
  const stat = path === "" ? undefined : findStat(path);
  if (!stat) return "missing";
  if (![NSFS_MAGIC, PROC_SUPER_MAGIC].includes(linux.fileSystemType(path))) return "no namespace";
  // of another kind, or any file of /proc
  if (withFile(path, linux.O.RDONLY, 0, linux.namespaceType) !== linux.CLONE_NEWNET) return "no namespace";
  const own = linux.stat(SELF);
  return own.inode === stat.inode && own.device === stat.device ? "own" : "other";
}

/** Opens a network namespace by its path; the caller closes it. */
export const openNamespace = (path: string): number => linux.open(path, linux.O.RDONLY);

/** As `openNamespace`, the one this process is in. */
export const openOwnNamespace = (): number => openNamespace(SELF);

/**
 * Runs `use` with the thread in another network namespace and comes back, whatever happens: only to open sockets and to
 * write sysctls. If the way back fails the process must not go on: everything it does next would hit the pod.
 */
export function inNamespace<T>(fd: number, use: () => T): T {
  const own = linux.open(SELF, linux.O.RDONLY);
  try {
    linux.setns(fd, linux.CLONE_NEWNET); // where this fails there is nothing to go back from
    try {
      return use();
    } finally {
      goBack(own);
    }
  } finally {
    linux.close(own);
  }
}

function goBack(own: number): void {
  try {
    linux.setns(own, linux.CLONE_NEWNET);
  } catch (error) {
    const msg = `cannot return to the host's network namespace: ${error}`;
    complain(`podwire: ${msg}\n`);
    print(JSON.stringify({ cniVersion: "1.1.0", code: 999, msg }));
    linux.exit(1);
  }
}

/**
 * The kernel's number of the network namespace a socket belongs to, never used twice in a boot; undefined before Linux
 * 5.14.
 */
export function cookieOfSocket(socket: number): bigint | undefined {
  const cookie = findSockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, 8);
  return cookie && viewOf(cookie).getBigUint64(0, true);
}

/**
 * As `cookieOfSocket` for the namespace at a path; undefined where nothing (or no namespace) is there, or the kernel
 * has no cookies.
 */
export function namespaceCookie(path: string): bigint | undefined {
  if (!["own", "other"].includes(namespaceKind(path))) return undefined;
  const fd = openNamespace(path);
  try {
    const inside = inNamespace(fd, () => socket(AF_UNIX, SOCK_DGRAM, 0));
    const cookie = cookieOfSocket(inside);
    linux.close(inside);
    return cookie;
  } finally {
    linux.close(fd);
  }
}

import { constants } from "node:os";
import koffi from "koffi";

// node --import tsx test/fault/without.ts PROGRAM ARGUMENTS...: runs a program for which there are no netlink sockets
// of netfilter, as on a kernel that was built without: seccomp answers EPROTONOSUPPORT.

const AF_NETLINK = 16;
const NETLINK_NETFILTER = 12;
const SYS_SOCKET = { x64: 41, arm64: 198 }[process.arch as "x64" | "arm64"];
const F_SETFD = 2;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const SECCOMP_RET_ALLOW = 0x7fff_0000;
const SECCOMP_RET_ERRNO = 0x0005_0000;

/** struct sock_filter: load a word of struct seccomp_data; jump when it differs; answer. */
const load = (at: number): number[] => [0x20, 0, 0, at];
const unlessEqual = (value: number, skip: number): number[] => [0x15, 0, skip, value];
const answer = (value: number): number[] => [0x06, 0, 0, value];
const argument = (index: number): number => 16 + 8 * index;
const filter = [
  load(0),
  unlessEqual(SYS_SOCKET, 5),
  load(argument(0)),
  unlessEqual(AF_NETLINK, 3),
  load(argument(2)),
  unlessEqual(NETLINK_NETFILTER, 1),
  answer(SECCOMP_RET_ERRNO | constants.errno.EPROTONOSUPPORT),
  answer(SECCOMP_RET_ALLOW),
];

const code = new DataView(new ArrayBuffer(8 * filter.length));
for (const [at, [op, hit, miss, value]] of filter.entries()) {
  code.setUint16(8 * at, op!, true);
  code.setUint8(8 * at + 2, hit!);
  code.setUint8(8 * at + 3, miss!);
  code.setUint32(8 * at + 4, value!, true);
}

/** struct sock_fprog */
koffi.struct("sock_fprog", { len: "uint16_t", filter: "uint8_t *" });
const library = koffi.load("libc.so.6");
const prctl = library.func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)");
const prctlProgram = library.func("int prctl(int option, unsigned long mode, sock_fprog *program)");
const fcntl = library.func("int fcntl(int fd, int command, int flags)");
const execv = library.func("int execv(const char *path, const char **argv)");

prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
prctlProgram(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, { len: filter.length, filter: new Uint8Array(code.buffer) });
for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 0); // Node marks them to be closed
const argv = process.argv.slice(2);
execv(argv[0]!, [...argv, null]);
throw new Error(`cannot run ${argv[0]}: errno ${koffi.errno()}`);

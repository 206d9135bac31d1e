/** How a program ended that `Host.run` started. */
export interface Ended {
  /** as wait(2) has it: the exit code in bits 8 to 15, or the signal in bits 0 to 6 */
  status: number;
  /** it was killed (SIGKILL) because its time was over */
  timedOut: boolean;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/**
 * What the engine under podwire (src/engine) can do: the one door to Linux, and nothing of it is known elsewhere.
 * Numbers, bytes (the kernel gets their address) and texts (as C strings; one with a NUL is -EINVAL) go in. A system
 * call returns what the kernel returns: its result, or the negative errno. Tests have one made for Node,
 * test/harness/host.ts.
 */
export interface Host {
  /** Ends the process at once. */
  exit(code: number): never;
  open(path: string, flags: number, mode: number): number;
  close(fd: number): number;
  /** Into the bytes, at most as many as they are. */
  read(fd: number, into: Uint8Array): number;
  write(fd: number, bytes: Uint8Array): number;
  fsync(fd: number): number;
  ftruncate(fd: number, length: number): number;
  link(from: string, to: string): number;
  unlink(path: string): number;
  rename(from: string, to: string): number;
  mkdir(path: string, mode: number): number;
  rmdir(path: string): number;
  symlink(target: string, path: string): number;
  readlink(path: string, into: Uint8Array): number;
  fchmod(fd: number, mode: number): number;
  access(path: string, mode: number): number;
  /** `into`: struct statx (256 bytes). */
  statx(directory: number, path: string, flags: number, mask: number, into: Uint8Array): number;
  /** `into`: struct statfs (120 bytes). */
  statfs(path: string, into: Uint8Array): number;
  getdents64(fd: number, into: Uint8Array): number;
  flock(fd: number, operation: number): number;
  /** `list`: struct pollfd (8 bytes) each; -1 ms is for ever. */
  poll(list: Uint8Array, ms: number): number;
  /** Waits at most so long; less when a signal comes. */
  sleep(microseconds: number): number;
  /** `times`: two struct timespec (32 bytes), of access and of modification. */
  futimens(fd: number, times: Uint8Array): number;
  /** What the request takes: a number, or a structure it reads or fills. */
  ioctl(fd: number, request: number, argument: number | Uint8Array): number;
  setns(fd: number, type: number): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  send(fd: number, bytes: Uint8Array, flags: number): number;
  sendTo(fd: number, bytes: Uint8Array, flags: number, address: Uint8Array): number;
  recv(fd: number, into: Uint8Array, flags: number): number;
  listen(fd: number, backlog: number): number;
  accept(fd: number, flags: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number;
  /** `length`: its size as a 32-bit number, in and out. */
  getsockopt(fd: number, level: number, option: number, into: Uint8Array, length: Uint8Array): number;
  /** `program`: struct sock_filter (8 bytes) each; SO_ATTACH_FILTER, whose argument has an address in it. */
  attachFilter(fd: number, program: Uint8Array): number;
  /** Blocks the signals of a set (64 bits) and returns a descriptor, not blocking, that is readable when one came. */
  signals(set: Uint8Array): number;
  getrandom(into: Uint8Array): number;
  getpid(): number;
  /** Nanoseconds of CLOCK_MONOTONIC. */
  nanoseconds(): number;
  /** SHA-512 of the text in UTF-8, as 128 hex digits. */
  sha512(text: string): string;
  /**
   * Starts a program (`argv[0]` is the name it sees; `environment` holds `NAME=value` and is all it gets; no descriptor
   * but 0 to 2), writes `input` to it, reads what it writes (64 MiB at most, then -EFBIG and the program is killed),
   * waits for its end, and kills it when `deadlineMs` is over. A failure to start is the negative errno.
   */
  run(
    file: string,
    argv: readonly string[],
    environment: readonly string[],
    input: Uint8Array,
    deadlineMs: number,
  ): Ended | number;
}

/** Set by the engine before any code runs, and by the tests' set-up under Node. */
export const host = (globalThis as unknown as { host: Host }).host;

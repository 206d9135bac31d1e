import { viewOf } from "../net/bytes.ts";
import { host } from "./host.ts";
import { check, EINTR } from "./linux.ts";

/** asm-generic/poll.h */
const POLLIN = 1;
/** struct pollfd { int fd; short events; short revents; } */
const SIZE_OF_POLLFD = 8;

/**
 * Waits until one of the descriptors has something to read, an error or an end, at most so long (Infinity: for ever);
 * which have, by their places in the list.
 */
export function waitForAny(fds: readonly number[], ms: number): boolean[] {
  const list = new Uint8Array(fds.length * SIZE_OF_POLLFD);
  const view = viewOf(list);
  for (const [at, fd] of fds.entries()) {
    view.setInt32(at * SIZE_OF_POLLFD, fd, true);
    view.setInt16(at * SIZE_OF_POLLFD + 4, POLLIN, true);
  }
  const result = host.poll(list, ms === Infinity ? -1 : Math.max(0, Math.ceil(ms)));
  if (result !== -EINTR) check(result, "poll");
  return fds.map((_, at) => result > 0 && view.getInt16(at * SIZE_OF_POLLFD + 6, true) !== 0);
}

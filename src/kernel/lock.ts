import { monotonicMs } from "./clock.ts";
import { LOCK, sleep, tryLock } from "./linux.ts";
import { randomFraction } from "./random.ts";

const FIRST_WAIT_US = 200;
const LONGEST_WAIT_US = 5_000;

/**
 * Takes the exclusive flock(2) of an open file; false when somebody else had it all the time. A blocking flock cannot
 * be given a deadline without a signal, so it is asked for again after short, growing waits.
 */
export function waitForLock(fd: number, deadlineMs: number): boolean {
  const deadline = monotonicMs() + deadlineMs;
  for (let wait = FIRST_WAIT_US; !tryLock(fd, LOCK.EX); wait = Math.min(wait * 1.3, LONGEST_WAIT_US)) {
    if (monotonicMs() > deadline) return false;
    sleep(Math.ceil(wait * (0.5 + randomFraction())));
  }
  return true;
}

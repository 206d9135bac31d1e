/** Something the daemon waits for: what a descriptor has to say, a time, or both. */
export interface Task {
  readonly fd: number | undefined;
  /** milliseconds of the monotonic clock; Infinity is never */
  readonly wakeAt: number;
  /** Called when either has come. */
  wake(now: number, isReadable: boolean): void;
}

/** How the daemon asks. */
export interface Pace {
  /** how long the first question waits for its answer; it doubles with each */
  firstMs: number;
  /** no longer than this */
  longestMs: number;
  /** how long a lease is asked for at all */
  totalMs: number;
  /** answers are to be broadcast */
  broadcast: boolean;
}

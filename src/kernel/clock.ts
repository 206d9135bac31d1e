import { host } from "./host.ts";

/** Milliseconds, with fractions, of a clock that only goes forward: for durations and deadlines. */
export const monotonicMs = (): number => host.nanoseconds() / 1e6;

/** How something is, in the order of how bad it is. */
export type FindingState = "ok" | "skip" | "warn" | "FAULT";

/** One thing that was looked at: what is so, and, where that is wrong, what should be and what mends it. */
export interface Finding {
  state: FindingState;
  /** where in the way of a packet: "route" */
  layer: string;
  what: string;
  expected?: string;
  is?: string;
  /** since when, where anything says it */
  since?: string | undefined;
  /** a command, or what to do */
  mend?: string;
}

type More = Pick<Finding, "expected" | "is" | "since" | "mend">;

export const ok = (layer: string, what: string): Finding => ({ state: "ok", layer, what });
export const skip = (layer: string, what: string): Finding => ({ state: "skip", layer, what });
export const warn = (layer: string, what: string, more: More = {}): Finding => ({
  state: "warn",
  layer,
  what,
  ...more,
});
export const fault = (layer: string, what: string, more: More = {}): Finding => ({
  state: "FAULT",
  layer,
  what,
  ...more,
});

/** What was found wrong in a layer, or, where that is nothing, that it is fine. */
export const orFine = (found: readonly Finding[], layer: string, fine: string): readonly Finding[] =>
  found.length > 0 ? found : [ok(layer, fine)];

/** True where one of them says that something does not work. */
export const isFaulty = (found: readonly Finding[]): boolean => found.some(({ state }) => state === "FAULT");

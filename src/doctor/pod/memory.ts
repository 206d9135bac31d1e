import { skip, warn } from "../finding.ts";
import { type Layer } from "./layer.ts";

/** How much is known of it, and what could not be looked at. */
export const memory: Layer = ({ attached, problems, foreignTypes }) => [
  ...(attached.cached
    ? []
    : [
        skip(
          "memory",
          "the runtime keeps no result of it: what it should be is known from links, leases and rules alone",
        ),
      ]),
  ...(foreignTypes.length > 0
    ? [skip("memory", `made by other plugins, not looked at: ${foreignTypes.join(", ")}`)]
    : []),
  ...problems.map((problem) => warn("memory", problem)),
];

import { fault, ok, skip } from "../finding.ts";
import { attachedSince } from "../since.ts";
import type { Layer } from "./layer.ts";

/** Whether the namespace is there, and the one that was wired. */
export const namespace: Layer = ({ attached, namespace: found }) => {
  const { netns } = attached;
  const since = attachedSince(attached);
  if (found === "unknown") return [skip("namespace", "its path is not known")];
  if (found === "missing") {
    return [
      fault("namespace", `${netns} is not there: the pod is gone, or its runtime lost it`, {
        mend: "podwire gc, or let the runtime start the pod anew",
      }),
    ];
  }
  if (found === "other") {
    return [
      fault("namespace", `${netns} is another namespace than the one ADD wired`, {
        mend: "let the runtime start the pod anew",
      }),
    ];
  }
  const wired = found === "own" ? `, the one ADD wired${since === undefined ? "" : ` at ${since}`}` : "";
  return [ok("namespace", netns + wired)];
};

import type { Invocation, Verb } from "../cni/invocation.ts";
import { quietLog } from "../cni/log.ts";

/** A call that podwire makes of its own plugins; what `about` does not say is nothing. */
export const ownCall = (
  verb: Verb,
  about: Pick<Invocation, "config" | "network" | "cniVersion"> & Partial<Invocation>,
): Invocation => ({
  containerId: "",
  netns: "",
  ifname: "",
  args: "",
  path: "",
  netnsOverride: false,
  stdin: new Uint8Array(0),
  validAttachments: [],
  log: quietLog(),
  ...about,
  verb,
});

import { kindOf } from "../attachment/kinds.ts";
import { Site } from "../attachment/site.ts";
import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { getPrevious, reported } from "./previous.ts";
import type { Spec } from "./spec.ts";

/** Compares the attachment with what ADD made, and throws every difference as one error. */
export function check<C>(spec: Spec<C>, call: Invocation): void {
  const [config, ipam] = spec.read(call);
  const result = getPrevious(call, spec.isChained ? spec.name : "CHECK");
  let hostLink: string | undefined;
  const site = new Site(call, (self) => hostLink ?? spec.hostLink(self, call));
  try {
    if (!spec.isChained) void site.pod; // opened, or refused, first
    ipam.check();
    const { subject, foreign } = spec.recall(call, site);
    if (!spec.isChained) hostLink = subject.hostVeth;
    const { attachment } = spec.plan(config, subject, reported(call, result, ipam));
    const differences = attachment.parts.flatMap((part) => kindOf(part.kind).compare(part, site, foreign));
    if (differences.length > 0) {
      throw new CniError(
        Code.Internal,
        `attachment ${call.ifname} of container ${call.containerId} is not as ADD made it: ` + differences.join("; "),
      );
    }
  } finally {
    site.close();
  }
}

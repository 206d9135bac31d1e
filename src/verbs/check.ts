import type { Attachment } from "../attachment/attachment.ts";
import type { HostView } from "../attachment/host-view.ts";
import { kindOf } from "../attachment/kinds.ts";
import { Site } from "../attachment/site.ts";
import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Ipam } from "../ipam/ipam.ts";
import { getPrevious, reported } from "./previous.ts";
import type { Spec } from "./spec.ts";

/** An attachment as a call's configuration and prevResult say it should be, and where it is compared or mended. */
export interface Expected {
  attachment: Attachment;
  /** the reference made it: only what every plugin would make is asked for */
  foreign: boolean;
  site: Site;
}

/** Compares the attachment with what ADD made, and throws every difference as one error. */
export function check<C>(spec: Spec<C>, call: Invocation): void {
  expecting(spec, call, { before: (ipam) => ipam.check() }, ({ attachment, foreign, site }) => {
    const differences = attachment.parts.flatMap((part) => kindOf(part.kind).compare(part, site, foreign));
    if (differences.length > 0) {
      throw new CniError(
        Code.Internal,
        `attachment ${call.ifname} of container ${call.containerId} is not as ADD made it: ` + differences.join("; "),
      );
    }
  });
}

/**
 * Runs `use` with the attachment that the call's prevResult is the result of, while its site is open; CniError where
 * the namespace is none, or configuration or prevResult are no attachment's.
 */
export function expecting<C, T>(
  spec: Spec<C>,
  call: Invocation,
  { before = () => undefined, view }: { before?(ipam: Ipam): void; view?: HostView | undefined },
  use: (expected: Expected) => T,
): T {
  const [config, ipam] = spec.read(call);
  const result = getPrevious(call, spec.isChained ? spec.name : "CHECK");
  let hostLink: string | undefined;
  const site = new Site(call, (self) => hostLink ?? spec.hostLink(self, call), view);
  try {
    if (!spec.isChained) void site.pod; // opened, or refused, first
    before(ipam);
    const { subject, foreign } = spec.recall(call, site, ipam);
    if (!spec.isChained) hostLink = subject.hostVeth;
    const { attachment } = spec.plan(config, subject, reported(result, spec.addresses(call, result), ipam));
    return use({ attachment, foreign, site });
  } finally {
    site.close();
  }
}

import { findPart } from "../attachment/attachment.ts";
import { kindOf } from "../attachment/kinds.ts";
import { Site } from "../attachment/site.ts";
import type { Invocation } from "../cni/invocation.ts";
import { attempt } from "./attempt.ts";
import type { Spec } from "./spec.ts";

/** Removes whatever attachments of the network have that are not valid. */
export function gc<C>(spec: Spec<C>, call: Invocation): void {
  const [config, ipam] = spec.read(call);
  const asked = spec.asked(config);
  const site = new Site(call, () => undefined);
  const selection = { network: call.network, valid: call.validAttachments, site, log: call.log };
  const failures = attempt("GC");
  for (const name of [...spec.kinds, ...spec.optional]) {
    failures.try(() => kindOf(name).collect?.(selection, findPart(asked, name)));
  }
  failures.try(() => ipam.gc());
  site.close();
  failures.throwIfAny();
}

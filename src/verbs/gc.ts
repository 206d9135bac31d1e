import { findPart } from "../attachment/attachment.ts";
import { kindOf } from "../attachment/kinds.ts";
import { Site } from "../attachment/site.ts";
import type { Invocation } from "../cni/invocation.ts";
import { noAddressing } from "../cni/result.ts";
import { attempt } from "./attempt.ts";
import { blankSubject, type Spec } from "./spec.ts";

/** Removes whatever attachments of the network have that are not valid. */
export function gc<C>(spec: Spec<C>, call: Invocation): void {
  const [config, ipam] = spec.read(call);
  const { parts } = spec.plan(config, blankSubject(call), noAddressing()).attachment;
  const site = new Site(call, () => undefined);
  const selection = { network: call.network, valid: call.validAttachments, site, log: call.log };
  const failures = attempt("GC");
  for (const name of spec.kinds) failures.try(() => kindOf(name).collect?.(selection, findPart(parts, name)));
  failures.try(() => ipam.gc());
  site.close();
  failures.throwIfAny();
}

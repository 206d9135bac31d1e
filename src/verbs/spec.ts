import type { Made, Part, PartName } from "../attachment/attachment.ts";
import { hostVethName, ownerOf } from "../attachment/owner.ts";
import type { Site } from "../attachment/site.ts";
import type { Invocation, JsonObject, Known } from "../cni/invocation.ts";
import type { Addressing, Result } from "../cni/result.ts";
import type { Ipam } from "../ipam/ipam.ts";
import type { Plan, Subject } from "./plan.ts";
import type { Addresses } from "./previous.ts";

/** A plugin as the verbs see it, interface or chained: what the two differ in is here, and nowhere else. */
export interface Spec<C = unknown> {
  name: string;
  kinds: readonly PartName[];
  optional: readonly PartName[];
  /** A chained plugin leaves the namespace alone, and its DEL must not keep the rest of the chain from its own. */
  isChained: boolean;
  known(config: JsonObject): Known;
  /** Configuration and where addresses come from; throws where a verb needs what is wrong or missing. */
  read(call: Invocation): [C, Ipam];
  asked(config: C): Part[];
  plan(config: C, subject: Subject, addressing: Addressing): Plan;
  /** what ADD makes: names, and MACs that are drawn */
  draw(call: Invocation, config: C): Subject;
  /** what ADD made, by prevResult */
  recall(call: Invocation, site: Site, ipam: Ipam): { subject: Subject; foreign: boolean };
  /** the addresses of a result that the attachment is about */
  addresses: Addresses;
  /** the host's end of the pod's link */
  hostLink(site: Site, call: Invocation): string | undefined;
  result(call: Invocation, plan: Plan, made: Made, more: { config: C; addressing: Addressing }): Result;
}

/** The subject of a plan for which nothing is drawn. */
export function blankSubject(call: Invocation): Subject {
  const owner = ownerOf(call);
  const macs = { hostMac: "", podMac: "", bridgeMac: "", vlanMac: "" };
  return { owner, netns: call.netns, hostVeth: hostVethName(owner), ...macs, listed: [] };
}

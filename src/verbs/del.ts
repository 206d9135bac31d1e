import { findPart, type Part, type PartName } from "../attachment/attachment.ts";
import type { Traces } from "../attachment/kind.ts";
import { kindOf } from "../attachment/kinds.ts";
import { formerNetwork } from "../attachment/link/former-network.ts";
import { hasNamespace, refuseOwnNamespace } from "../attachment/pod-namespace.ts";
import { Site } from "../attachment/site.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Known } from "../ipam/own-record.ts";
import { madeInOf } from "../node/record.ts";
import { type Ip, uniqueIps } from "../net/ip.ts";
import { type Attempt, attempt } from "./attempt.ts";
import type { Spec } from "./spec.ts";

/**
 * Removes whatever is the owner's, in reverse order; what is missing is success, and a failure keeps nothing else back.
 */
export function del<C>(spec: Spec<C>, call: Invocation): void {
  const [config, ipam] = spec.read(call);
  const site = new Site(call, (self) => spec.hostLink(self, call));
  const failures = attempt("DEL");
  try {
    if (spec.isChained) refuseOwnNamespace(call);
    const pod = spec.isChained ? undefined : site.findPod();
    const known: Known = failures.try(() => ipam.traces()) ?? { addresses: [], foreign: false };
    const asked = spec.asked(config);
    const madeIn = known.knowledge && madeInOf(known.knowledge);
    const traces: Traces = {
      owner: site.owner,
      site,
      get isGone() {
        return !hasNamespace(call); // few ask
      },
      ...(pod && { pod }),
      madeIn,
      ...(known.isAnothers && { isAnothers: known.isAnothers }),
      ...(known.knowledge?.usesIptables && { usesIptables: true }),
      ...tracesOf(spec, call, known),
    };
    failures.try(() => ipam.giveBack?.());
    removeParts(kindsOf(spec, known, asked), {
      asked,
      failures,
      foreign: known.foreign,
      traces,
      isWhole: !spec.isChained,
    });
    failures.try(() => ipam.del());
    const former =
      traces.former ?? known.former ?? (spec.isChained ? failures.try(() => formerNetwork(site)) : undefined);
    // a name that was cut is no network's
    if (former !== undefined && !former.includes("~")) failures.try(() => del(spec, { ...call, network: former }));
  } finally {
    site.close();
  }
  // A DEL that fails would make the runtime leave out the rest of the chain, and leak the container's address
  if (!spec.isChained) failures.throwIfAny();
  for (const failure of failures.messages()) {
    call.log.warn(`what ${spec.name} made for ${call.containerId} may be left behind: ${failure}`);
  }
}

/** What its record names, or all there may be where there is none; and what the configuration asks for now. */
function kindsOf<C>({ kinds, optional }: Spec<C>, { knowledge }: Known, asked: readonly Part[]): PartName[] {
  const parts = knowledge?.parts;
  const had = optional.filter((kind) => !parts || parts.includes(kind) || findPart(asked, kind));
  return [...kinds, ...had].filter((kind) => kindOf(kind).remove);
}

/** Addresses and MAC that record, lease or prevResult name. */
function tracesOf<C>(spec: Spec<C>, call: Invocation, { addresses }: Known): { addresses: Ip[]; mac?: string } {
  const { prevResult, ifname } = call;
  if (!prevResult) return { addresses };
  const reported = spec.addresses(call, prevResult).map(({ address }) => address.ip);
  const mac = prevResult.interfaces.find(({ name, sandbox }) => name === ifname && sandbox !== undefined)?.mac;
  return { addresses: uniqueIps([...addresses, ...reported]), ...(mac !== undefined && { mac }) };
}

interface Removal {
  asked: readonly Part[];
  failures: Attempt;
  /** the attachment may be the reference's */
  foreign: boolean;
  traces: Traces;
  /** the attachment itself goes, not what one plugin of its list made */
  isWhole: boolean;
}

function removeParts(kinds: readonly PartName[], { asked, failures, foreign, traces, isWhole }: Removal): void {
  const backwards = kinds.toReversed();
  const found = backwards.map((name) =>
    failures.try(() => traces.site.log.step(name, () => kindOf(name).remove!(traces, findPart(asked, name)))),
  );
  if (found.includes("own") || !(foreign || found.includes("foreign"))) return;
  // the reference's firewall names nobody in its rules: its own DEL needs prevResult, here the addresses are known
  const left: PartName[] = isWhole && traces.addresses.length > 0 ? [...backwards, "filter"] : backwards;
  for (const name of left) failures.try(() => kindOf(name).removeReference?.(traces, findPart(asked, name)));
}

import type { Made, Part } from "../attachment/attachment.ts";
import type { Step } from "../attachment/kind.ts";
import { kindOf } from "../attachment/kinds.ts";
import { findLink } from "../attachment/link/links.ts";
import { findPart } from "../attachment/attachment.ts";
import type { Site } from "../attachment/site.ts";
import { Undo } from "../attachment/undo.ts";
import { CniError, messageOf } from "../cni/error.ts";
import { SystemError } from "../kernel/system-error.ts";
import type { Expected } from "./check.ts";

/** What became of mending an attachment. */
export interface Mended {
  /** what was done, or would be */
  steps: Pick<Step, "what" | "isShared">[];
  /** what is otherwise than ADD made it all the same, in words */
  left: string[];
  /** the pod's link is gone: what rests on it was left alone */
  isLost: boolean;
}

/** Makes parts what they should be, in the order of ADD, as far as that can be done under a running pod. */
export function mend({ attachment: { parts }, site }: Expected, dryRun: boolean): Mended {
  const steps: Mended["steps"] = [];
  const undo = new Undo();
  const failures: string[] = [];
  const differing: string[] = [];
  // a link in the pod alone has no end here
  const leading = site.hostLink !== undefined && findLink(site.host, site.hostLink) ? site.hostLink : undefined;
  for (const part of parts) {
    const { compare, mend: mendPart } = kindOf(part.kind);
    const differences = compare(part, site, false);
    const found = failing(() => mendPart?.(part, site, { differences, undo }) ?? []);
    if (typeof found === "string") return { steps, left: [...differing, found], isLost: true };
    if (found.length === 0) differing.push(...differences);
    steps.push(...found);
    if (dryRun || found.length === 0) continue;
    failures.push(...found.flatMap(({ run }) => failing(run) ?? []));
    site.forgetSeen();
  }
  if (dryRun || steps.length === 0) return { steps, left: differing, isLost: false };
  return { steps, left: finish(parts, site, { undo, failures, leading }), isLost: false };
}

/** Waits for what comes up by itself and compares all parts again; returns what differs still, and why. */
function finish(
  parts: readonly Part[],
  site: Site,
  { undo, failures, leading }: { undo: Undo; failures: string[]; leading: string | undefined },
): string[] {
  if (leading !== undefined && !findLink(site.host, leading)) {
    // its DEL may have passed by already: nothing may be left behind it
    return [`link ${leading} was removed meanwhile`, ...undo.run()];
  }
  const differences = parts.flatMap((part) => kindOf(part.kind).compare(part, site, false));
  if (differences.length > 0) return [...failures, ...differences];
  const made = findMade(parts, site);
  return parts.flatMap((part) => failing(() => kindOf(part.kind).settle?.(part, site, made)) ?? []);
}

/** The attachment's links as they are now. */
function findMade(parts: readonly Part[], site: Site): Made {
  const named = (name: string | undefined) => (name === undefined ? undefined : site.seenLink(name));
  const veth = named(findPart(parts, "veth")?.host.name);
  const bridge = named(findPart(parts, "bridge")?.name);
  const vlanInterface = named(findPart(parts, "gateways")?.vlanInterface?.name);
  const ifname = findPart(parts, "pod")?.link.name;
  const pod = ifname === undefined ? undefined : site.seenPodLink(ifname);
  return {
    ...(bridge && { bridge }),
    ...(veth && { veth }),
    ...(vlanInterface && { vlanInterface }),
    ...(pod && {
      pod: { ...pod, hasCarrier: pod.operState === "up" || veth !== undefined, isWatched: veth !== undefined },
    }),
  };
}

/** What the work returns, or why it failed, in words. */
function failing<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    if (error instanceof CniError || error instanceof SystemError) return messageOf(error);
    throw error;
  }
}

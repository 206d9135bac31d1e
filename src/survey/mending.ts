import { hostVethName, linkAlias } from "../attachment/owner.ts";
import { stepOf } from "../attachment/step.ts";
import { namespaceKind } from "../kernel/namespace.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { setLink } from "../netlink/rtnetlink/link.ts";
import { namespaceState, type Liveness } from "../node/liveness.ts";
import type { HostView } from "../attachment/host-view.ts";
import type { Expected } from "../verbs/check.ts";
import { mend, type Mended } from "../verbs/mend.ts";
import { visitExpected } from "./calls.ts";
import { mendLeases } from "./lease-loss.ts";
import type { Surveyed } from "./surveyed.ts";

/** An attachment, and what became of mending it. */
export interface Repaired extends Pick<Mended, "steps" | "left"> {
  attached: Surveyed;
  /**
   * "podwire": mended as far as that goes; "other": another plugin made it, and it was left alone; "unknown": what it
   * should be is nowhere said
   */
  known: "podwire" | "other" | "unknown";
  /** plugins of its list that are not podwire's: what they made was left alone */
  others: string[];
}

/** Makes an attachment whole again, or says what that would take. */
export function repairAttachment(
  attached: Surveyed,
  { dryRun, liveness, view }: { dryRun: boolean; liveness: Liveness; view: HostView | undefined },
): Repaired {
  const blank: Repaired = { attached, steps: [], left: [], known: "podwire", others: [] };
  const { cached } = attached;
  const stranger = strangerAt(attached, liveness);
  if (stranger !== undefined) return { ...blank, left: [stranger] };
  if (!cached) return { ...blank, known: "unknown", steps: mendKnown(attached, dryRun) };
  const found: Mended[] = [];
  let isForeign = false;
  // podwire's record outweighs an alias, which a moved link has for another purpose, and anybody may change
  const isRecorded = attached.record?.knowledge !== undefined;
  const visit = (expected: Expected): void => {
    isForeign ||= expected.foreign && !isRecorded;
    if (!isForeign && !found.some(({ isLost }) => isLost)) found.push(mend(expected, dryRun));
  };
  const visited = visitExpected(cached, visit, { ...(view && { view }) });
  if (isForeign || visited.every((each) => each.isForeign)) return { ...blank, known: "other" };
  const leases = mendLeases(attached, dryRun);
  return {
    ...blank,
    steps: [...leases.steps, ...found.flatMap(({ steps }) => steps)],
    left: [
      ...leases.left,
      ...found.flatMap(({ left }) => left),
      ...visited.flatMap(({ type, problem }) => problemOf(type, problem)),
    ],
    others: visited.filter((each) => each.isForeign).map(({ type }) => type),
  };
}

const problemOf = (type: string, problem: string | undefined): string[] =>
  problem === undefined ? [] : [type === "" ? problem : `${type}: ${problem}`];

/** Why nothing may be changed in the namespace: it is another one than ADD wired; undefined where it is that one. */
function strangerAt({ netns, record }: Surveyed, liveness: Liveness): string | undefined {
  const cookie = record?.knowledge?.cookie;
  if (cookie !== undefined && namespaceState(netns, cookie, liveness) === "other") {
    return `${netns} is another namespace than the one ADD wired: restart the pod`;
  }
  return netns !== "" && namespaceKind(netns) === "own" ? `${netns} is the namespace of the node itself` : undefined;
}

/** Without a cached result there is the link, known by its alias, which must be up. */
function mendKnown({ link, owner }: Surveyed, dryRun: boolean): Mended["steps"] {
  if (!link || link.up || link.name !== hostVethName(owner) || link.alias !== linkAlias(owner)) return [];
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const step = stepOf(host, setLink(link, { up: true }));
  if (!dryRun) step.run();
  host.close();
  return [step];
}

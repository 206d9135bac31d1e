import type { DeviceType } from "../../netlink/rtnetlink/device.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import type { PodLinkPart } from "../attachment.ts";
import type { Found, Selection, Traces } from "../kind.ts";
import { isAnothersAlias, linkAlias, ownerOfAlias } from "../owner.ts";
import type { PodNamespace } from "../pod-namespace.ts";
import type { Site } from "../site.ts";
import type { Undo } from "../undo.ts";
import { collectLost, isEvident, usePod } from "./evidence.ts";
import { findLink } from "./links.ts";
import { findEvenRenamed, sharesMac } from "./own-name.ts";
import { removeLink } from "./removal.ts";

/**
 * Registers the removal of a link that is about to be made; the caller notes whether it was. Where the kernel's answer
 * was lost, it is the one that is neither up nor anybody's.
 */
export function undoPodLink(name: string, type: DeviceType, { pod }: Site, undo: Undo): { isMade?: boolean } {
  const made: { isMade?: boolean } = {};
  undo.push(`delete link ${name} in the container`, () => {
    const link = made.isMade === undefined ? findLink(pod.socket, name) : undefined;
    const isFresh = link?.kind === type && !link.up && link.alias === "";
    if (made.isMade || isFresh) removeLink(pod.socket, name);
  });
  return made;
}

/**
 * Deletes the attachment's link, with every address and route on it. Without CNI_NETNS it is looked for where its
 * record says; where the namespace is gone, it is gone.
 */
export const removePodLink = (traces: Traces, part: PodLinkPart | undefined): Found =>
  usePod(traces, (pod) => removeFrom(pod, traces, part)) ?? "unknown";

function removeFrom(pod: PodNamespace, traces: Traces, part: PodLinkPart | undefined): Found {
  const { owner, mac } = traces;
  const link = findEvenRenamed(pod, owner.ifname, { alias: linkAlias(owner), mac });
  const whose = link ? whoseIs(link, pod, traces, part) : "unknown";
  if (link && whose !== "unknown") removeLink(pod.socket, link);
  return whose;
}

/**
 * CNI_NETNS may name another pod's namespace, so a link is deleted only when something says it is this attachment's:
 * its alias, the namespace's cookie, an address of its lease or prevResult, or prevResult's MAC. Where nothing is known
 * of the attachment, a link of the right kind by the name the runtime gives is what the reference made.
 */
function whoseIs(link: Link, pod: PodNamespace, traces: Traces, part: PodLinkPart | undefined): Found {
  const { owner, madeIn } = traces;
  const maker = ownerOfAlias(link.alias);
  // a pod may write into it what it likes; in one that is the container's own, by its record, nobody else has a link
  const isLie = maker && madeIn && madeIn.cookie === pod.cookie && maker.containerId !== owner.containerId;
  if (isLie && link.kind === part?.device.type) return "own";
  if (maker) {
    if (isAnothersAlias(link.alias, owner)) return "unknown";
    if (link.alias !== linkAlias(owner)) traces.former = maker.network;
    return "own";
  }
  // one that a killed ADD could not give its alias, that lost it, or that the reference made
  const { mac: _, ...others } = traces;
  return (
    isEvident(link, pod, sharesMac(link) ? others : traces) ?? (link.kind === part?.device.type ? "foreign" : "unknown")
  );
}

/** GC: as `removePodLink`, for attachments that are not valid. */
export const collectPodLinks = (selection: Selection, part: PodLinkPart | undefined): void =>
  selection.log.note(
    "links in containers",
    collectLost(selection, (traces) => removePodLink(traces, part)),
  );

import { namespaceCookie } from "../../kernel/namespace.ts";
import { sameIp } from "../../net/ip.ts";
import type { DeviceType } from "../../netlink/rtnetlink/device.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import type { Owner, PodLinkPart } from "../attachment.ts";
import type { Found, Selection, Traces } from "../kind.ts";
import { linkAlias, ownerOfAlias } from "../owner.ts";
import { PodNamespace } from "../pod-namespace.ts";
import type { Site } from "../site.ts";
import type { Undo } from "../undo.ts";
import { findLink, listAddresses } from "./links.ts";
import { removeLink } from "./removal.ts";

/**
 * Registers the removal of a link that is about to be made, and returns where to note its index. Where that was not
 * learned, as when the kernel's answer is lost, it is the one that is neither up nor anybody's.
 */
export function undoPodLink(name: string, type: DeviceType, { pod }: Site, undo: Undo): { index?: number } {
  const forget: { index?: number } = {};
  undo.push(`delete link ${name} in the container`, () => {
    const link = findLink(pod.socket, name);
    const isMine =
      forget.index === undefined ? link?.kind === type && !link.up && link.alias === "" : link?.index === forget.index;
    if (isMine) removeLink(pod.socket, name);
  });
  return forget;
}

/** Deletes the attachment's link, with every address and route on it; where the namespace is gone, it is gone. */
export function removePodLink(traces: Traces, part: PodLinkPart | undefined): Found {
  const { owner, pod } = traces;
  const link = pod && findLink(pod.socket, owner.ifname);
  const whose = link ? whoseIs(link, traces, part) : "unknown";
  if (whose !== "unknown") removeLink(pod!.socket, owner.ifname);
  return whose;
}

/**
 * CNI_NETNS may name another pod's namespace, so a link is deleted only when something says it is this attachment's:
 * its alias, the namespace's cookie, an address of its lease or prevResult, or prevResult's MAC. Where nothing is known
 * of the attachment, a link of the right kind by the name the runtime gives is what the reference made.
 */
function whoseIs(link: Link, traces: Traces, part: PodLinkPart | undefined): Found {
  const { owner, pod, addresses, mac, cookie } = traces;
  const maker = ownerOfAlias(link.alias);
  if (maker) {
    // container id and ifname are one attachment, whatever its network is called now
    if (link.alias !== linkAlias({ ...owner, network: maker.network })) return "unknown";
    if (link.alias !== linkAlias(owner)) traces.former = maker.network;
    return "own";
  }
  // one that a killed ADD could not give its alias, or that lost it
  if (cookie !== undefined && pod!.cookie === cookie) return "own";
  if (mac !== undefined && link.mac === mac) return "foreign";
  if (mac === undefined && addresses.length === 0) return link.kind === part?.device.type ? "foreign" : "unknown";
  const present = listAddresses(pod!.socket, link).map(({ ip }) => ip);
  return addresses.some((ip) => present.some((other) => sameIp(ip, other))) ? "foreign" : "unknown";
}

/** GC: deletes the links of attachments that are not valid, in namespaces that are still those they were made in. */
export function collectPodLinks({ lostPods, log }: Selection): void {
  const gone = lostPods.filter(
    ({ owner, netns, cookie }) => namespaceCookie(netns) === cookie && removeIn(netns, owner),
  );
  log.note("links in containers", gone.length);
}

function removeIn(netns: string, owner: Owner): boolean {
  const pod = PodNamespace.open(netns, true);
  try {
    const link = findLink(pod.socket, owner.ifname);
    return link?.alias === linkAlias(owner) && removeLink(pod.socket, owner.ifname);
  } finally {
    pod.close();
  }
}

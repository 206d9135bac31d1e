import { decodeLink, getLinkByIndex, type Link } from "../../netlink/rtnetlink/link.ts";
import type { PodLinkPart } from "../attachment.ts";
import type { Site } from "../site.ts";
import { getMaster } from "./master.ts";

// A link that is made of a master without an MTU of its own has the master's. When that one's is changed, the kernel
// gives it to an ipvlan, whatever it had; to a macvlan or VLAN only where it is smaller than what that has.

/** What there is to remember of a link that is about to be made: an ipvlan always has its master's of today. */
export function masterMtuOf(part: PodLinkPart | undefined, site: Site): number | undefined {
  if (!part?.master || part.mtu !== undefined || part.device.type === "ipvlan") return undefined;
  return getMaster(part.master, site).link.mtu;
}

/**
 * The MTU the pod's link must have by its master's; undefined where that cannot be told. A master whose MTU was made
 * smaller for a while has left it smaller than it was made: other pods' frames do not fit any more.
 */
export function inheritedMtu(part: PodLinkPart, link: Link | undefined, site: Site): number | undefined {
  const { master, masterMtu, device } = part;
  if (!master || !link?.peer || (device.type !== "ipvlan" && masterMtu === undefined)) return undefined;
  const reply = (master.inPod ? site.pod.socket : site.host).find(getLinkByIndex(link.peer));
  const now = reply && decodeLink(reply)?.mtu;
  return now === undefined || device.type === "ipvlan" ? now : Math.min(masterMtu!, now);
}

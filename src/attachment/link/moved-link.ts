import { CniError, Code } from "../../cni/error.ts";
import { isErrno, close } from "../../kernel/linux.ts";
import { openOwnNamespace } from "../../kernel/namespace.ts";
import { isNewLinkName } from "../../net/link-name.ts";
import { type Link, moveLink, setLink } from "../../netlink/rtnetlink/link.ts";
import type { MovedLinkPart } from "../attachment.ts";
import type { Found, Kind, Traces } from "../kind.ts";
import type { PodNamespace } from "../pod-namespace.ts";
import type { Site } from "../site.ts";
import { IN_POD } from "../step.ts";
import { getDevice, isProgramDriven } from "./device-choice.ts";
import { findLink, getMadeLink } from "./links.ts";
import { collectLost, isEvident, usePod } from "./evidence.ts";
import { mendLink } from "./mending.ts";
import { findEvenRenamed } from "./own-name.ts";
import { beyondMending, compareLink, nameTaken } from "./own-link.ts";

/** A link of the host that is in the pod; its alias there is, as in the reference, the name it goes back to. */
export const movedLink: Kind<MovedLinkPart> = {
  apply(part, site, { undo, made }) {
    if (isProgramDriven(part)) return;
    const device = getDevice(part.choice, site.host);
    const { name } = part.link;
    const { pod, owner } = site;
    if (findLink(pod.socket, name)) throw nameTaken(owner, pod.path, new Error(`it would be ${device.name}'s name`));
    undo.push(`move link ${device.name} back`, () => undoMove(device, name, site));
    try {
      site.host.request([moveLink(device, { netns: pod.fd, name, alias: device.name })]);
    } catch (error) {
      throw isErrno(error, "EINVAL", "EOPNOTSUPP") ? immovable(part, device, error) : error;
    }
    const { index, mac } = getMadeLink(pod.socket, name);
    // how long a device takes to come up is its own affair
    made.pod = { index, name, mac, hasCarrier: false, isWatched: false };
  },

  compare(part, site) {
    if (isProgramDriven(part)) return [];
    const found = site.seenPodLink(part.link.name);
    return compareLink(found, { ...part.link, kind: found?.kind ?? "", mtu: undefined }, "in the container");
  },

  mend(part, site) {
    if (isProgramDriven(part)) return [];
    const found = site.seenPodLink(part.link.name);
    if (!found) throw beyondMending(`link ${part.link.name} in the container is gone, ${goneTo(part, site)}`);
    return mendLink(site.pod.socket, found, { ...part.link, kind: found.kind, mtu: undefined }, IN_POD);
  },

  remove: removeMoved,

  collect(selection, part) {
    const count = collectLost(selection, (traces) => removeMoved(traces, part));
    selection.log.note("links taken back", count);
  },
};

function removeMoved(traces: Traces, part: MovedLinkPart | undefined): Found {
  return usePod(traces, (pod) => takeBack(pod, traces, part)) ?? "unknown";
}

/** What became of the device: a driver, or somebody, may have taken it back. */
const goneTo = ({ choice }: MovedLinkPart, { host }: Site): string =>
  choice.by === "device" && findLink(host, choice.id) ? `device ${choice.id} is back on the host` : "and its device";

const immovable = ({ choice }: MovedLinkPart, { name }: Link, error: Error): CniError =>
  new CniError(
    Code.InvalidConfig,
    `${choice.by}: link ${JSON.stringify(name)} cannot be moved to another namespace`,
    error.message,
    { cause: error },
  );

/** Where the kernel's answer was lost, the device may be here, there, or there under the name it had. */
function undoMove(device: Link, name: string, { host, pod }: Site): void {
  if (findLink(host, device.name)?.mac === device.mac) return;
  const moved = [name, device.name].map((each) => findLink(pod.socket, each)).find((link) => link?.mac === device.mac);
  if (!moved) return;
  moveHome(pod, moved, { name: device.name, alias: device.alias });
  if (device.up) host.request([setLink(getMadeLink(host, device.name), { up: true })]);
}

/** Moves a link of the pod to podwire's own namespace, where it is down. */
function moveHome({ socket }: PodNamespace, link: Link, to: { name: string; alias: string }): void {
  const netns = openOwnNamespace();
  try {
    socket.request([moveLink(link, { netns, ...to })]);
  } finally {
    close(netns);
  }
}

/** DEL: the attachment's device goes back under its former name. */
function takeBack(pod: PodNamespace, traces: Traces, part: MovedLinkPart | undefined): Found {
  const { owner, site } = traces;
  const device = traces.madeIn?.device ?? (part?.choice.by === "device" ? part.choice.id : undefined);
  const link = findEvenRenamed(pod, owner.ifname, { alias: device, mac: traces.mac });
  const former = link && formerName(link, part, traces);
  if (!link || former === undefined) return "unknown";
  const whose = isEvident(link, pod, traces);
  // nothing is known of the attachment: the reference's alias says that it moved the link
  const isTheirs = whose === undefined && link.alias === former;
  if (!isTheirs && (whose ?? "unknown") === "unknown") return "unknown";
  // a device does not say itself whose it is, and prevResult may be another pod's as well as CNI_NETNS
  if (whose !== "own" && pod.cookie !== undefined && traces.isAnothers?.(pod.cookie)) return "unknown";
  if (findLink(site.host, former)) {
    throw new CniError(
      Code.TryAgainLater,
      `link ${owner.ifname} of the container cannot go back to the host as ${former}: another link has that name`,
    );
  }
  moveHome(pod, link, { name: former, alias: "" });
  return whose ?? "foreign";
}

/** A container may write anything into the alias: the name that the record or the configuration has comes first. */
function formerName({ alias }: Link, part: MovedLinkPart | undefined, { madeIn }: Traces): string | undefined {
  if (madeIn?.device !== undefined) return madeIn.device;
  if (part?.choice.by === "device") return part.choice.id;
  return isNewLinkName(alias) ? alias : undefined;
}

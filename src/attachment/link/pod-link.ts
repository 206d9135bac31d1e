import { CniError, Code, removedMeanwhile } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { createDevice, type Device } from "../../netlink/rtnetlink/device.ts";
import { decodeLink, getLink, type Link, setAlias } from "../../netlink/rtnetlink/link.ts";
import type { PodLinkPart } from "../attachment.ts";
import { assertLinkKind, lackingKind } from "../features.ts";
import type { Kind } from "../kind.ts";
import { linkAlias } from "../owner.ts";
import { IN_POD } from "../step.ts";
import type { Site } from "../site.ts";
import { wantedMtu } from "../tuning/wanted-mtu.ts";
import type { Undo } from "../undo.ts";
import { inheritedMtu } from "./inherited-mtu.ts";
import { findLink } from "./links.ts";
import { getMaster } from "./master.ts";
import { mendLink } from "./mending.ts";
import { attachedAlready, beyondMending, compareLink, nameTaken } from "./own-link.ts";
import { createTap } from "./tap.ts";
import { collectPodLinks, removePodLink, undoPodLink } from "./pod-link-removal.ts";

/** The attachment's own link that has no end on the host: its alias, in the pod, says whose it is. */
export const podLink: Kind<PodLinkPart> = {
  apply(part, site, { undo, made }) {
    const master = part.master && getMaster(part.master, site);
    if (master) assertCarries(part, master.link);
    const { index, name, mac } = create(part, master, site, undo);
    const isWatched = part.device.type === "macvlan" || part.device.type === "vlan";
    // a TAP device has a carrier while a program has it open
    const isCarried = part.device.type !== "tun" && (!master || hasCarrier(master.link));
    made.pod = { index, name, mac, hasCarrier: isCarried, isWatched };
  },

  compare(part, site, foreign) {
    const { link, device } = part;
    const found = site.seenPodLink(link.name);
    const differences = compareLink(
      found,
      { ...link, kind: device.type, mtu: mtuOf(part, found, site, foreign) },
      "in the container",
    );
    if (found?.kind !== device.type) return differences;
    return [...differences, ...compareDevice(found, device), ...compareMaster(found, part, site)];
  },

  mend(part, site) {
    const { link, device } = part;
    const found = site.seenPodLink(link.name);
    if (found?.kind === device.type) {
      const mtu = mtuOf(part, found, site);
      return mendLink(site.pod.socket, found, { ...link, kind: device.type, mtu }, IN_POD);
    }
    throw beyondMending(`link ${link.name} in the container is ${found ? "another one" : "gone"}`);
  },

  remove: removePodLink,
  status: ({ device }) => assertLinkKind(device.type),
  collect: collectPodLinks,
};

/** Of Ethernet (ETH_DATA_LEN), which a TAP device has until it is given another. */
const TAP_MTU = 1500;

/**
 * The MTU the link must have, where that can be told. The reference forgets a TAP device's where owner and group are
 * given.
 */
function mtuOf(part: PodLinkPart, link: Link | undefined, site: Site, foreign = false): number | undefined {
  const isTap = part.device.type === "tun";
  if (isTap && foreign) return undefined;
  const { podMtu, mtu = isTap ? TAP_MTU : inheritedMtu(part, link, site) } = part;
  return wantedMtu({ mtu, podMtu }, link, site);
}

/** A master that is down passes nothing on yet: what is made of it comes up with it. */
const hasCarrier = ({ up, operState }: Link): boolean => up && (operState === "up" || operState === "unknown");

/** Larger frames than the master's would be lost without a word; a VLAN's link cannot be up before its master is. */
function assertCarries({ mtu = 0, device }: PodLinkPart, master: Link): void {
  if (mtu > master.mtu) {
    throw new CniError(
      Code.InvalidConfig,
      `invalid configuration: mtu is ${mtu}, must be at most ${master.mtu}, the MTU of master ${master.name}, ` +
        `for a ${device.type}`,
    );
  }
  if (device.type === "vlan" && !master.up) {
    throw new CniError(Code.TryAgainLater, `master: link "${master.name}" is down, and so no VLAN's link can be up`);
  }
}

interface Maker {
  link: Link;
  socket: NetlinkSocket;
}

function create(part: PodLinkPart, master: Maker | undefined, site: Site, undo: Undo): Link {
  const { owner, pod } = site;
  const { link, device, mtu } = part;
  // the master's index counts in the namespace that is asked; what is made of it goes into the pod at once
  const socket = master?.socket ?? pod.socket;
  const made = undoPodLink(link.name, device.type, site, undo);
  try {
    if (device.type === "tun") createTap(part, device, site);
    else {
      const make = createDevice({
        ...link,
        device,
        ...(mtu && { mtu }),
        ...(master && { master: master.link.index }),
        ...(socket !== pod.socket && { netns: pod.fd }),
      });
      socket.request([make]);
    }
  } catch (error) {
    if (device.type === "tun" && isErrno(error, "ENODEV", "EBADFD")) throw removedMeanwhile(`link ${link.name}`, error);
    if (isErrno(error, "EEXIST") || (device.type === "tun" && isErrno(error, "EBUSY"))) {
      made.isMade = false;
      const there = findLink(pod.socket, link.name);
      if (there) {
        throw there.alias === linkAlias(owner)
          ? attachedAlready(owner, `link ${link.name} of ${pod.path}`)
          : nameTaken(owner, pod.path, error);
      }
    }
    throw refused(error, part, master?.link) ?? error;
  }
  made.isMade = true;
  try {
    const [reply] = pod.socket.request([setAlias(link.name, linkAlias(owner)), getLink(link.name)]);
    return decodeLink(reply!)!;
  } catch (error) {
    throw isErrno(error, "ENODEV") ? removedMeanwhile(`link ${link.name}`, error) : error;
  }
}

/** What the kernel's refusal means to the person who wrote the configuration. */
function refused(error: unknown, { device }: PodLinkPart, master: Link | undefined): CniError | undefined {
  const because = (text: string): CniError =>
    new CniError(Code.InvalidConfig, text, (error as Error).message, { cause: error });
  const { type } = device;
  const cannot = `master: link "${master?.name}" cannot carry a ${type}`;
  if (isErrno(error, "EOPNOTSUPP")) {
    // of a master that carries no VLANs, such as lo, the kernel says so
    return because(error.message.includes("not supported on device") ? cannot : lackingKind(type));
  }
  if (!master) return undefined;
  if (isErrno(error, "EBUSY")) {
    return because(
      `${cannot}: it is a port of a bridge or bond, ` +
        `or carries links of another kind (a link has either macvlan or ipvlan)`,
    );
  }
  if (isErrno(error, "EEXIST") && type === "vlan") {
    return because(
      `vlanId: link "${master.name}" has its link of VLAN ${device.vlanId} already, on the host or in a container: ` +
        `there is one for each VLAN`,
    );
  }
  if (!isErrno(error, "EINVAL")) return undefined;
  if (type === "ipvlan") return because(`${cannot}: it is no Ethernet link`);
  if (type !== "macvlan") return undefined;
  return because(
    `${cannot} in mode ${device.mode}: ` +
      `one in mode passthru has its master for itself, or the master is no Ethernet link`,
  );
}

function compareDevice({ name, device = {} }: Link, wanted: Device): string[] {
  const has = device as Record<string, unknown>;
  return Object.entries(wanted)
    .filter(([key, value]) => has[key] !== value)
    .map(([key, value]) => `${key} of link ${name} in the container is ${String(has[key])}, not ${value}`);
}

/**
 * The master a default route led to is not looked for again: routes change. One that is a macvlan or ipvlan itself
 * hands what is made of it on to its own.
 */
function compareMaster({ name, kind, peer, master: port }: Link, part: PodLinkPart, site: Site): string[] {
  const { bridge, master } = part;
  if (bridge !== undefined && (port === undefined || port !== site.seenPodLink(bridge)?.index)) {
    return [`link ${name} in the container is not a port of its bridge ${bridge}`];
  }
  if (master?.name === undefined) return [];
  const { link } = getMaster(master, site);
  return (link.kind === kind && kind !== "vlan") || link.index === peer
    ? []
    : [`link ${name} in the container is not one of master ${link.name}`];
}

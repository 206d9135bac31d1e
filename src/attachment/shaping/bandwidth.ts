import { CniError, Code } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../kernel/netlink.ts";
import { type Link, setLink } from "../../netlink/rtnetlink/link.ts";
import {
  addIngress,
  addRedirect,
  addTbf,
  decodeQdiscKind,
  decodeTbf,
  deleteIngress,
  deleteTbf,
  getIngressFilters,
  getIngressQdisc,
  getRootQdisc,
} from "../../netlink/rtnetlink/qdisc.ts";
import type { BandwidthPart, Shaping } from "../attachment.ts";
import { assertLinkKind, assertShaper } from "../features.ts";
import type { Kind, Progress } from "../kind.ts";
import { findLink, findPeer } from "../link/links.ts";
import { removeLink } from "../link/removal.ts";
import { hostVethName, ownerOfAlias, ownerOfLabel } from "../owner.ts";
import type { Site } from "../site.ts";
import { rewriting } from "../step.ts";
import type { Undo } from "../undo.ts";
import { alreadyShaped, findIfbs, findLeftIfbs, listLostIfbs, listOwnIfbs, makeIfb, redirectOf } from "./ifb.ts";
import { compareShaper, tbfOf } from "./shaper.ts";

// Files here: shaper (the numbers of a token bucket), ifb (the link for what a pod sends), and this kind.

/** Ethernet's header, which a queue counts and an MTU does not. */
const ETH_HLEN = 14;

/** How fast a pod may receive (a shaper on the host's end of its link) and send (one on an ifb it is led through). */
export const bandwidth: Kind<BandwidthPart> = {
  apply: shape,

  mend: (part, site, { differences, undo }) =>
    rewriting(differences, {
      what: `shape ${listLimits(part)}`,
      run: () => {
        const ifbs = findIfbs(site);
        const end = findHostEnd(site);
        if (end) freeEnd(site.host, end, ifbs);
        for (const { name } of ifbs) removeLink(site.host, name);
        shape(part, site, { undo, made: {} });
      },
    }),

  compare({ ingress, egress }, site) {
    if (!ingress && !egress) return [];
    const end = findHostEnd(site);
    if (!end) return [`${site.owner.ifname} has no end on the host that could be shaped`];
    const ifb = egress && findIfbs(site).at(-1);
    return [
      ...(ingress ? compareShaper(site.host, end, ingress) : []),
      ...(egress ? compareEgress(site, end, { ifb, egress }) : []),
    ];
  },

  remove(traces) {
    const { site } = traces;
    const own = findIfbs(site);
    const ifbs = own.length > 0 || !traces.isGone ? own : findLeftIfbs(site);
    const end = findEndToFree(site, ifbs);
    if (end) freeEnd(site.host, end, ifbs);
    for (const { name } of ifbs) removeLink(site.host, name);
    return ifbs.length > 0 ? "own" : "unknown";
  },

  collect({ network, valid, lostLinks, site: { host }, log }) {
    const lost = listLostIfbs(host, network, valid);
    const ends = lost.flatMap(({ label }) => {
      const owner = ownerOfLabel(label);
      return owner ? hostVethName(owner) : [];
    });
    const ifbs = lost.map(({ link }) => link);
    for (const name of new Set([...ends, ...lostLinks])) {
      const end = findLink(host, name);
      if (end) freeEnd(host, end, ifbs);
    }
    log.note("ifbs", ifbs.filter(({ name }) => removeLink(host, name)).length);
  },

  status({ ingress, egress }) {
    if (ingress || egress) assertShaper();
    if (egress) assertLinkKind("ifb");
  },

  list() {
    const host = NetlinkSocket.open(NETLINK_ROUTE);
    try {
      return listOwnIfbs(host).map(({ label, link }) => ({
        comment: label,
        what: `what it sends, in ifb ${link.name}`,
      }));
    } finally {
      host.close();
    }
  },
};

function shape(part: BandwidthPart, site: Site, { undo, made }: Progress): void {
  const { ingress, egress } = part;
  if (!ingress && !egress) return;
  void site.pod; // refused where there is none, though its link can be told without it
  const end = getHostEnd(site);
  for (const shaping of [ingress, egress]) if (shaping) warnOfLittle(shaping, end, site);
  if (egress) {
    if (site.host.find(getIngressQdisc(end))) throw alreadyShaped(end.name);
    made.ifb = makeIfb(site, end.mtu, undo);
  }
  addQdiscs(site.host, part, { end, ifb: made.ifb, undo });
}

const listLimits = ({ ingress, egress }: BandwidthPart): string =>
  [
    ...(ingress ? [`what it receives to ${ingress.rate} bytes a second`] : []),
    ...(egress ? [`what it sends to ${egress.rate} bytes a second`] : []),
  ].join(", ");

/**
 * Makes all in one batch, one system call: DEL knows an ingress qdisc by where it leads. A failing ADD has it removed,
 * also where the kernel's answer was lost, but for a shaper that was there before.
 */
function addQdiscs(
  host: NetlinkSocket,
  { ingress, egress }: BandwidthPart,
  { end, ifb, undo }: { end: Link; ifb: Link | undefined; undo: Undo },
): void {
  const isLed = ifb !== undefined;
  const registerUndo = (isShaped: boolean): void =>
    undo.push(`free link ${end.name}`, () => free(host, end, { isLed, isShaped }));
  try {
    host.request([
      ...(ifb ? [addTbf(ifb, tbfOf(egress!)), addIngress(end), addRedirect(end, ifb)] : []),
      ...(ingress ? [addTbf(end, tbfOf(ingress))] : []),
    ]);
  } catch (error) {
    const isTaken = isErrno(error, "EEXIST");
    registerUndo(ingress !== undefined && !isTaken);
    throw isTaken ? alreadyShaped(end.name) : error;
  }
  registerUndo(ingress !== undefined);
}

/** The kernel drops a packet that is larger than the bucket. */
function warnOfLittle({ burst }: Shaping, { name, mtu }: Link, { log }: Site): void {
  if (burst >= mtu + ETH_HLEN) return;
  log.warn(`a burst of ${burst} bytes is less than a packet of link ${name} (MTU ${mtu}): larger ones are lost`);
}

function compareEgress(
  { host }: Site,
  end: Link,
  { ifb, egress }: { ifb: Link | undefined; egress: Shaping },
): string[] {
  if (!ifb) return [`the ifb for what the pod sends does not exist`];
  return [
    ...(ifb.up ? [] : [`link ${ifb.name} is down`]),
    ...(redirectOf(host, end) === ifb.index ? [] : [`what link ${end.name} takes in is not led to ${ifb.name}`]),
    ...compareShaper(host, ifb, egress),
  ];
}

/** The host's end of the pod's link: podwire's own, else where the veth in the pod leads. */
function findHostEnd(site: Site): Link | undefined {
  const { owner, host } = site;
  const own = findLink(host, hostVethName(owner));
  return own?.kind === "veth" ? own : findPeer(host, findLink(site.pod.socket, owner.ifname));
}

function getHostEnd(site: Site): Link {
  const end = findHostEnd(site);
  if (end) return end;
  const { owner, pod } = site;
  throw new CniError(
    Code.InvalidConfig,
    `cannot limit the bandwidth of CNI_IFNAME ${JSON.stringify(owner.ifname)} in ${pod.path}: it is no veth with ` +
      `its other end on this host; bandwidth works behind plugins that make one, such as bridge and ptp`,
  );
}

/**
 * The host's end where it is there and surely this attachment's: podwire's own, one that leads to an ifb of the
 * attachment's, or the one of the pod's link that prevResult names too. What either says alone may be another's.
 */
function findEndToFree(site: Site, ifbs: readonly Link[]): Link | undefined {
  const { owner, host } = site;
  const named = site.hostLink === undefined ? undefined : findLink(host, site.hostLink);
  if (named && (named.name === hostVethName(owner) || ownerOfAlias(named.alias))) return named;
  const pod = site.findPod();
  const peer = pod && findPeer(host, findLink(pod.socket, owner.ifname));
  const led = ifbs.length === 0 ? undefined : [named, peer].find((end) => end && leadsTo(host, end, ifbs));
  return led ?? (peer && peer.index === named?.index ? peer : undefined);
}

/** One that has lost its filters is taken for the attachment's where it has an ifb. */
const leadsTo = (host: NetlinkSocket, end: Link, ifbs: readonly Link[]): boolean => {
  const target = redirectOf(host, end);
  if (target === undefined) return ifbs.length > 0 && isBareIngress(host, end);
  return target === GONE || ifbs.some(({ index }) => index === target);
};

function isBareIngress(host: NetlinkSocket, end: Link): boolean {
  const found = host.find(getIngressQdisc(end));
  return found !== undefined && decodeQdiscKind(found) === "ingress" && host.dump(getIngressFilters(end)).length === 0;
}

/** What the kernel says of a redirection whose link was deleted. */
const GONE = 0;

/** The redirection goes before its ifb: what is sent to one that is gone is lost. */
const freeEnd = (host: NetlinkSocket, end: Link, ifbs: readonly Link[]): void =>
  free(host, end, { isLed: leadsTo(host, end, ifbs), isShaped: true });

/**
 * Removes what leads elsewhere what a link takes in, and its shaper; of a qdisc that is no longer there the kernel says
 * EINVAL or ENOENT. A link without a queue was given the length of one with its first qdisc; it loses it with the last.
 */
function free(host: NetlinkSocket, end: Link, what: { isLed: boolean; isShaped: boolean }): void {
  const root = host.find(getRootQdisc(end));
  const isShaped = what.isShaped && root !== undefined && decodeTbf(root) !== undefined;
  if (!what.isLed && !isShaped) return;
  const isFree = isShaped || !root || decodeQdiscKind(root) === "noqueue";
  try {
    host.request([
      ...(what.isLed ? [deleteIngress(end)] : []),
      ...(isShaped ? [deleteTbf(end)] : []),
      ...(isFree ? [setLink(end, { txQueue: 0 })] : []),
    ]);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOENT", "ENODEV")) throw error;
  }
}

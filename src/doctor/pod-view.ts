import { findPart, type Part, type PartName, type PartOf } from "../attachment/attachment.ts";
import { kindOf } from "../attachment/kinds.ts";
import { listLinkAddresses, listLinks } from "../attachment/link/links.ts";
import { PodNamespace } from "../attachment/pod-namespace.ts";
import { messageOf } from "../cni/error.ts";
import { namespaceKind } from "../kernel/namespace.ts";
import { type Ip, sameIp, uniqueIps } from "../net/ip.ts";
import { namespaceState } from "../node/liveness.ts";
import type { Address } from "../netlink/rtnetlink/address.ts";
import { type Neighbour, NUD } from "../netlink/rtnetlink/neighbour.ts";
import { askNeighbours, readNeighbours } from "./neighbours.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import { visitExpected } from "../survey/calls.ts";
import { podTitle } from "../survey/choose.ts";
import type { Surveyed } from "../survey/surveyed.ts";
import type { Look } from "./look.ts";

/** The pod's end as it is: read in its namespace. */
export interface Inside {
  links: readonly Link[];
  addresses: readonly Address[];
  neighbours: readonly Neighbour[];
}

/** An attachment as it is and as it should be, with what the layers ask of it. */
export interface PodView {
  attached: Surveyed;
  /** what a person types to mean it */
  title: string;
  namespace: "own" | "other" | "missing" | "there" | "unknown";
  /** all parts it should have, by the runtime's memory; undefined where there is none */
  parts: Part[] | undefined;
  /** how what is there differs from them, in CHECK's words */
  differences: { kind: PartName; text: string }[];
  /** plugins of its list that are not podwire's */
  foreignTypes: string[];
  /** why parts could not be compared */
  problems: string[];
  inside: Inside | undefined;
  /** the host's end of its link */
  hostLink: Link | undefined;
  /** those it should have */
  addresses: Ip[];
}

/** Looks at one attachment. */
export function viewPod(attached: Surveyed, look: Look): PodView {
  const view: PodView = {
    attached,
    title: podTitle(attached),
    namespace: namespaceOf(attached, look),
    parts: undefined,
    differences: [],
    foreignTypes: [],
    problems: [],
    inside: undefined,
    hostLink: attached.link,
    addresses: attached.addresses,
  };
  if (view.namespace === "missing" || view.namespace === "other") return view;
  const read = (pod: PodNamespace): void => {
    const { socket } = pod;
    view.inside = { links: listLinks(socket), addresses: listLinkAddresses(socket), neighbours: [] };
    view.hostLink ??= peerOf(view, look);
    view.inside = { ...view.inside, neighbours: askGateways(view, look, pod) };
  };
  if (attached.cached) compare(view, look);
  if (view.namespace !== "unknown") openPod(attached.netns, view, read);
  return view;
}

/** One that did not answer is asked once more, for that may be long ago: of a whole node's pods so many, so long. */
const RETRIED = { pods: 10, ms: 50 };

function askGateways(view: PodView, look: Look, pod: PodNamespace): Neighbour[] {
  const link = podLink(view);
  const gateways = askableGateways(view);
  if (!link?.up) return readNeighbours(pod.socket);
  if (look.isThorough) return askNeighbours(pod, link, gateways);
  const known = readNeighbours(pod.socket);
  const failed = gateways.filter((ip) =>
    known.some((each) => each.index === link.index && sameIp(each.ip, ip) && (each.state & NUD.FAILED) !== 0),
  );
  if (failed.length === 0 || look.retried.count++ >= RETRIED.pods) return known;
  return askNeighbours(pod, link, failed, RETRIED.ms);
}

function namespaceOf({ netns, record }: Surveyed, { survey }: Look): PodView["namespace"] {
  if (netns === "") return "unknown";
  const noted = record?.knowledge?.cookie;
  if (noted !== undefined) return namespaceState(netns, noted, survey.liveness);
  const kind = namespaceKind(netns);
  return kind === "missing" || kind === "no namespace" ? "missing" : "there";
}

function compare(view: PodView, { binDirs, view: hostView }: Look): void {
  const parts: Part[] = [];
  const visited = visitExpected(
    view.attached.cached!,
    ({ attachment, foreign, site }) => {
      parts.push(...attachment.parts);
      for (const part of attachment.parts) {
        const found = kindOf(part.kind).compare(part, site, foreign);
        view.differences.push(...[...new Set(found)].map((text) => ({ kind: part.kind, text })));
      }
    },
    { binDirs, view: hostView },
  );
  view.parts = parts;
  for (const { type, problem, isForeign } of visited) {
    if (isForeign) view.foreignTypes.push(type);
    if (problem !== undefined) view.problems.push(`${type}: ${problem}`);
  }
  const pod = findPart(parts, "pod");
  if (pod) view.addresses = uniqueIps(pod.addresses.map(({ prefix }) => prefix.ip));
}

function openPod(path: string, view: PodView, use: (pod: PodNamespace) => void): void {
  try {
    PodNamespace.use(path, use);
  } catch (error) {
    view.problems.push(messageOf(error));
  }
}

/** The host's end of the pod's interface, whoever made it; a link that was moved, or has a master, has none. */
function peerOf(view: PodView, { links }: Look): Link | undefined {
  const { attached, inside, parts = [] } = view;
  if (parts.length > 0 && !findPart(parts, "veth")) return undefined;
  const own = inside?.links.find(({ name }) => name === attached.owner.ifname);
  const peer = own?.kind === "veth" && own.peer !== undefined ? links.get(own.peer) : undefined;
  return peer?.kind === "veth" && peer.peer === own?.index ? peer : undefined;
}

/** The part of a kind it should have. */
export const partOf = <K extends PartName>({ parts }: PodView, kind: K): PartOf<K> | undefined =>
  parts && findPart(parts, kind);

/** The pod's own interface. */
export const podLink = ({ inside, attached }: PodView): Link | undefined =>
  inside?.links.find(({ name }) => name === attached.owner.ifname);

/** Addresses of the pod's own interface. */
export const podAddresses = (view: PodView): Address[] => {
  const link = podLink(view);
  return (view.inside?.addresses ?? []).filter(({ index }) => index === link?.index);
};

/** Gateways that can be asked: the pod has an address to ask from. */
export const askableGateways = (view: PodView): Ip[] => {
  const present = podAddresses(view);
  return gatewaysOf(view).filter(({ family }) => present.some(({ prefix: { ip } }) => ip.family === family));
};

/** The gateways of its routes. */
export const gatewaysOf = (view: PodView): Ip[] =>
  uniqueIps((partOf(view, "pod")?.routes ?? []).flatMap(({ gw }) => gw ?? []));

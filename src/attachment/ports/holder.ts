import { CniError, Code } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { findLinkBeside } from "../../kernel/route-lookup.ts";
import { type Family, type Ip, sameIp } from "../../net/ip.ts";
import type { Owner, PortMapping, PortsPart } from "../attachment.ts";
import { findLink } from "../link/links.ts";
import { describePort, hostAddress, mappingsFor } from "./keys.ts";

// A host port leads to one pod at a time. Whoever has one that another wants stands in one of four places: podwire's
// maps, its iptables chains, and the reference's of both kinds. Each place finds its holders; whether one must give way
// is decided here.

/** An attachment that asks for host ports, and the node's links and routes, which say who is alive. */
export interface Claim {
  owner: Owner;
  ports: PortsPart;
  host: NetlinkSocket;
}

/** Whoever has a claimed port, as far as the place knows. */
export interface Holder {
  container: string;
  ifname?: string;
  network?: string;
  /** where podwire notes it: the host's end of the pod's link */
  link?: string;
  /** where no link is noted: the addresses the holder's ports lead to */
  targets?: readonly Ip[];
  /** the table, for an operator to look at */
  place: string;
}

/**
 * Removes what was found to give way, and says which pods it led to; called when the new mappings are there, so that a
 * failed ADD changes nothing.
 */
export type TakeOver = () => Ip[];

/** What stands for the link of a pod where nobody knows it. */
export const UNKNOWN_LINK = "-";

/** The claimed ports by address family. */
export const claimedPorts = ({ ports }: Claim): { family: Family; mappings: PortMapping[] }[] =>
  ports.addresses
    .map((pod) => ({ family: pod.ip.family, mappings: mappingsFor(pod, ports) }))
    .filter(({ mappings }) => mappings.length > 0);

/** `tcp 8080 of 192.0.2.1` */
export const portText = (mapping: PortMapping): string => describePort(mapping, hostAddress(mapping));

/** Throws, naming the holder, unless its pod is provably gone. */
export function assertGone(holder: Holder, port: string, claim: Claim): void {
  if (isGone(holder, claim)) return;
  const { container, ifname, network, place } = holder;
  const who = [
    `container ${container}`,
    ...(ifname === undefined ? [] : [`interface ${ifname}`]),
    ...(network === undefined ? [] : [`network ${network}`]),
  ];
  throw new CniError(Code.TryAgainLater, `host port ${port} is held by ${who.join(", ")} (${place})`);
}

/** By the link where one is noted; else every address must be the claimant's own by now, or nowhere on this node. */
function isGone({ link, targets = [] }: Holder, { ports, host }: Claim): boolean {
  if (link !== undefined) return link !== UNKNOWN_LINK && !findLink(host, link);
  const isOurs = (target: Ip): boolean => ports.addresses.some(({ ip }) => sameIp(ip, target));
  return targets.length > 0 && targets.every((target) => isOurs(target) || !mayBePod(host, target));
}

/** A pod of this node is on a veth or a bridge; a gateway in between means that it is elsewhere. */
function mayBePod(host: NetlinkSocket, target: Ip): boolean {
  const link = findLinkBeside(host, target);
  const kind = link && findLink(host, link)?.kind;
  return kind === "veth" || kind === "bridge";
}

import { isErrno } from "../../kernel/linux.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { deleteLink, type Link } from "../../netlink/rtnetlink/link.ts";
import type { Found, Selection, Traces } from "../kind.ts";
import { hostVethName, isAnothersAlias, ownerOfAlias } from "../owner.ts";
import { findAddresses, findLink, findPeer, listAddresses } from "./links.ts";

/** Deletes a link by name, or one that was found, whatever a pod calls it by now; true when it was there. */
export function removeLink(socket: NetlinkSocket, link: string | Link): boolean {
  try {
    socket.request([deleteLink(link)]);
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    // the kernel asks for CAP_NET_ADMIN before it looks
    if (isErrno(error, "EPERM") && typeof link === "string" && !findLink(socket, link)) return false;
    throw error;
  }
}

/**
 * Deletes the attachment's veth pair, and with it every address and route on it. Says whether podwire had made it, or
 * another plugin.
 */
export function removeVeth(traces: Traces): Found {
  const { owner, site, pod } = traces;
  if (removeLink(site.host, hostVethName(owner))) return "own";
  const link = pod && findLink(pod.socket, owner.ifname);
  if (!link || !isEvidentlyOf(link, traces)) return "unknown";
  removeLink(pod.socket, link);
  return "foreign";
}

/**
 * CNI_NETNS may name another pod's namespace, so its interface is deleted only when something says it is this
 * attachment's: an address of its lease or prevResult, or prevResult's MAC. One whose host end podwire made is its
 * owner's, and nobody else's.
 */
function isEvidentlyOf(link: Link, traces: Traces): boolean {
  const { owner, site, pod, addresses, mac } = traces;
  const peer = findPeer(site.host, link);
  const maker = peer && ownerOfAlias(peer.alias);
  if (maker) {
    if (isAnothersAlias(peer.alias, owner)) return false;
    traces.former = maker.network;
    return true;
  }
  if (mac !== undefined && link.mac === mac) return true;
  if (mac !== undefined || addresses.length > 0) return findAddresses(pod!.socket, link, addresses).length > 0;
  // The reference names its links at random. Where nothing is known of the attachment, a veth by the name the runtime
  // gives, whose other end is on this host, is what it made; its addresses are those it has rules for.
  traces.addresses = listAddresses(pod!.socket, link).map(({ ip }) => ip);
  return link.kind === "veth" && peer !== undefined;
}

/** GC: deletes the host veths podwire made for attachments of the network that are not valid. */
export function collectVeths({ lostLinks, site, log }: Selection): void {
  log.note("links", lostLinks.filter((name) => removeLink(site.host, name)).length);
}

import type { NetlinkSocket } from "../kernel/netlink.ts";
import { decodeAddress, getAddresses } from "../netlink/rtnetlink/address.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import { type Ip, sameIp } from "../net/ip.ts";
import { removeLink } from "./apply.ts";
import type { Owner } from "./attachment.ts";
import { findLink, listLinks } from "./links.ts";
import { hostVethName, networkLabel } from "./owner.ts";
import type { PodNamespace } from "./pod-namespace.ts";
import { ALIAS_BYTES } from "./apply.ts";

/** What DEL knows of an attachment besides its owner; any of it may be missing. */
export interface Traces {
  pod?: PodNamespace;
  /** addresses its lease or prevResult names */
  addresses: Ip[];
  /** MAC of the container's interface in prevResult */
  mac?: string;
}

/**
 * Deletes the attachment's veth pair, and with it every address and route on it. Says whether podwire had made it
 * ("own"), the reference had ("foreign"), or there was none.
 */
export function removeVeth(owner: Owner, host: NetlinkSocket, traces: Traces): "own" | "foreign" | "none" {
  if (removeLink(host, hostVethName(owner))) return "own";
  const link = traces.pod && findLink(traces.pod.socket, owner.ifname);
  if (!link || !isEvidentlyOf(link, host, traces)) return "none";
  removeLink(traces.pod!.socket, owner.ifname);
  return "foreign";
}

/**
 * CNI_NETNS may name another pod's namespace, so its interface is deleted only when something says it is this
 * attachment's: an address of its lease or prevResult, or prevResult's MAC. One whose host end podwire made for
 * somebody else never is.
 */
function isEvidentlyOf(link: Link, host: NetlinkSocket, { pod, addresses, mac }: Traces): boolean {
  const peer =
    link.peer === undefined
      ? undefined
      : listLinks(host).find(
          ({ index, kind, peer: other }) => index === link.peer && kind === "veth" && other === link.index,
        );
  if (peer?.alias.startsWith("podwire ")) return false;
  if (mac !== undefined && link.mac === mac) return true;
  const present = pod!.socket.dump(getAddresses(link.index)).flatMap((reply) => decodeAddress(reply)?.prefix.ip ?? []);
  return addresses.some((ip) => present.some((other) => sameIp(ip, other)));
}

/**
 * GC: deletes the host veths podwire made for attachments of the network that are not in `valid`; returns their names.
 */
export function collectVeths(
  network: string,
  valid: { containerId: string; ifname: string }[],
  host: NetlinkSocket,
): string[] {
  const kept = new Set(valid.map((attachment) => hostVethName({ network, ...attachment })));
  const prefix = `podwire ${networkLabel(network, ALIAS_BYTES)} `;
  const lost = listLinks(host).filter(({ name, alias }) => alias.startsWith(prefix) && !kept.has(name));
  return lost.filter(({ name }) => removeLink(host, name)).map(({ name }) => name);
}

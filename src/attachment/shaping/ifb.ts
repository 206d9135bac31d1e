import { CniError, Code } from "../../cni/error.ts";
import { sha512 } from "../../kernel/hash.ts";
import { isErrno } from "../../kernel/linux.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { randomMac } from "../../kernel/random.ts";
import { createIfb } from "../../netlink/rtnetlink/ifb.ts";
import { decodeLink, getLink, type Link, setAlias } from "../../netlink/rtnetlink/link.ts";
import { decodeRedirect, getIngressFilters } from "../../netlink/rtnetlink/qdisc.ts";
import type { Owner } from "../attachment.ts";
import { findLink, findPeer, listLinks } from "../link/links.ts";
import { removeLink } from "../link/removal.ts";
import { networkLabel, ownerLabel, withoutNetwork } from "../owner.ts";
import type { PodNamespace } from "../pod-namespace.ts";
import type { Site } from "../site.ts";
import type { Undo } from "../undo.ts";

// A link shapes what it sends. What a pod sends is led through a link made for that, an ifb.

/** The name of the reference's, which its DEL looks for: of two interfaces of one container only one can have it. */
const referenceName = ({ network, containerId }: Owner): string =>
  `bwp${sha512(`${network}${containerId}`).slice(0, 12)}`;
const ownName = ({ network, containerId, ifname }: Owner): string =>
  `bwp${sha512(`${network}\0${containerId}\0${ifname}`).slice(0, 12)}`;

/** Not "podwire " and words: those are the links into pods. */
const PREFIX = "podwire: bandwidth ";
/** IFLA_IFALIAS holds 255 bytes with the terminating zero. */
const LABEL_BYTES = 254 - PREFIX.length;

const aliasOf = (owner: Owner): string => PREFIX + ownerLabel(owner, LABEL_BYTES);

/** Index of the link that all is redirected to which a link takes in. */
export const redirectOf = (host: NetlinkSocket, link: Link): number | undefined =>
  host
    .dump(getIngressFilters(link))
    .map(decodeRedirect)
    .find((index) => index !== undefined);

/** The interfaces of the pod whose traffic is led through this ifb. */
const usersOf = (host: NetlinkSocket, pod: PodNamespace, ifb: Link): string[] =>
  listLinks(pod.socket)
    .filter((inside) => {
      const peer = findPeer(host, inside);
      return peer && redirectOf(host, peer) === ifb.index;
    })
    .map(({ name }) => name);

/**
 * The ifbs of the attachment: those that say so, and one of the reference's, which says nothing, unless the pod's other
 * interfaces use it.
 */
export function findIfbs(site: Site): Link[] {
  const { owner, host } = site;
  const alias = aliasOf(owner);
  return [referenceName(owner), ownName(owner)]
    .flatMap((name) => findLink(host, name) ?? [])
    .filter((ifb) => ifb.kind === "ifb" && (ifb.alias === alias || (ifb.alias === "" && !isUsedByOther(site, ifb))));
}

/** As `findIfbs` where the pod is gone, and nothing tells what the network was called when they were made. */
export function findLeftIfbs(site: Site): Link[] {
  const words = withoutNetwork(ownerLabel(site.owner, LABEL_BYTES));
  return listOwnIfbs(site.host)
    .filter(({ label }) => withoutNetwork(label) === words)
    .map(({ link }) => link);
}

function isUsedByOther(site: Site, ifb: Link): boolean {
  const pod = site.findPod();
  return pod !== undefined && usersOf(site.host, pod, ifb).some((name) => name !== site.owner.ifname);
}

/** Makes the attachment's ifb, up, with the MTU of the link it stands for; CniError 7 where the attachment has one. */
export function makeIfb(site: Site, mtu: number, undo: Undo): Link {
  const { owner, host } = site;
  const name = chooseName(site);
  const ifb = { name, mac: randomMac(), mtu };
  // Before it is made, as for a veth: its MAC was drawn for this call
  undo.push(`delete link ${name}`, () => findLink(host, name)?.mac === ifb.mac && removeLink(host, name));
  try {
    const replies = host.request([createIfb(ifb), setAlias(name, aliasOf(owner)), getLink(name)]);
    return decodeLink(replies[0]!)!;
  } catch (error) {
    throw isErrno(error, "EEXIST") ? alreadyShaped(name) : error;
  }
}

function chooseName(site: Site): string {
  const { owner, host, log } = site;
  const name = referenceName(owner);
  const found = findLink(host, name);
  if (!found) return name;
  const users = found.alias === "" && found.kind === "ifb" ? usersOf(host, site.pod, found) : undefined;
  if (found.alias === aliasOf(owner) || users?.includes(owner.ifname)) throw alreadyShaped(name);
  if (users?.length !== 0) return ownName(owner);
  log.warn(`removed ifb ${name}, which an ADD that failed left behind`);
  removeLink(host, name);
  return name;
}

/** For an attachment that has what is to be made. */
export const alreadyShaped = (link: string): CniError =>
  new CniError(
    Code.InvalidConfig,
    `cannot limit the bandwidth: link ${link} is there or is shaped already; DEL comes first`,
  );

/** The ifbs of attachments of the network that are not valid, with the owner's words. */
export function listLostIfbs(
  host: NetlinkSocket,
  network: string,
  valid: () => readonly Omit<Owner, "network">[],
): { label: string; link: Link }[] {
  const ofNetwork = `${networkLabel(network, LABEL_BYTES)} `;
  const ifbs = listOwnIfbs(host).filter(({ label }) => label.startsWith(ofNetwork));
  const kept = new Set(valid().map((attachment) => ownerLabel({ network, ...attachment }, LABEL_BYTES)));
  return ifbs.filter(({ label }) => !kept.has(label));
}

/** Every ifb podwire made, with its owner's words. */
export const listOwnIfbs = (host: NetlinkSocket): { label: string; link: Link }[] =>
  listLinks(host, { kind: "ifb" })
    .filter(({ alias }) => alias.startsWith(PREFIX))
    .map((link) => ({ label: link.alias.slice(PREFIX.length), link }));

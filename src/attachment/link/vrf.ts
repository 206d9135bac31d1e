import { CniError, Code } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { createDevice } from "../../netlink/rtnetlink/device.ts";
import {
  decodeLink,
  getLink,
  getLinkByIndex,
  indexOf,
  type Link,
  setAlias,
  setLink,
} from "../../netlink/rtnetlink/link.ts";
import { RT_TABLE_DEFAULT } from "../../netlink/rtnetlink/route.ts";
import type { VrfPart } from "../attachment.ts";
import { tablesOfRoutes, tablesOfRules } from "../address/used-tables.ts";
import { assertLinkKind, lackingKind } from "../features.ts";
import type { Kind, Traces } from "../kind.ts";
import type { Site } from "../site.ts";
import { IN_POD, stepOf } from "../step.ts";
import type { Undo } from "../undo.ts";
import { isAnothers } from "./anothers.ts";
import { findLink, listLinks } from "./links.ts";
import { removeLink } from "./removal.ts";
import { belongingsOf, rehome } from "./vrf-member.ts";

/** DEL brings no more routes back from the VRF than these, and addresses: a pod can have any number of its own. */
const MOST_BROUGHT_BACK = 250;

/** A VRF of the pod, which several of its interfaces may share, with the attachment's own as a member. */
export const vrf: Kind<VrfPart> = {
  apply: (part, site, { undo }) => join(part, site, undo),

  mend(part, site, { undo }) {
    const found = site.seenPodLink(part.name);
    const member = site.seenPodLink(site.owner.ifname);
    const isOther = found && (found.kind !== "vrf" || (part.table && tableOf(found) !== part.table));
    if (!member || isOther) return [];
    return [
      ...(found && !found.up ? [stepOf(site.pod.socket, setLink(found, { up: true }), IN_POD)] : []),
      ...(found && member.master === found.index
        ? []
        : [
            {
              what: `make link ${member.name} a member of VRF ${part.name}${IN_POD}`,
              run: () => join(part, site, undo),
            },
          ]),
    ];
  },

  compare({ name, table }, site) {
    const found = site.seenPodLink(name);
    const member = site.seenPodLink(site.owner.ifname);
    if (!found) return [`VRF ${name} does not exist in the container`];
    if (found.kind !== "vrf") return [`link ${name} in the container is not a VRF`];
    return [
      ...(found.up ? [] : [`VRF ${name} in the container is down`]),
      ...(table && tableOf(found) !== table ? [`VRF ${name} has table ${tableOf(found)}, not ${table}`] : []),
      ...(member?.master === found.index ? [] : [`link ${site.owner.ifname} is not a member of VRF ${name}`]),
    ];
  },

  remove: removeMember,
  status: () => assertLinkKind("vrf"),
};

/** Makes the attachment's link a member of the VRF, which is made where it is missing. */
function join(part: VrfPart, site: Site, undo: Undo): void {
  const { socket, path } = site.pod;
  const { ifname } = site.owner;
  const link = findLink(socket, ifname);
  if (!link) throw new CniError(Code.InvalidEnvironment, `CNI_IFNAME "${ifname}" does not exist in ${path}`);
  if (link.master !== undefined) {
    const reply = socket.find(getLinkByIndex(link.master));
    const name = reply && decodeLink(reply)?.name;
    throw new CniError(Code.InvalidConfig, `link ${ifname} in the container has a master already: ${name}`);
  }
  const found = findVrf(part, socket);
  const [index, table] = found ? [found.index, tableOf(found)] : makeVrf(part, site, undo);
  if (found && !found.up) socket.request([setLink(found, { up: true })]); // nothing would pass
  const had = belongingsOf(link, socket);
  undo.push(`take ${ifname} out of VRF ${part.name}`, () => rehome(link, { from: table }, site.pod, had));
  rehome(link, { vrf: index, to: table }, site.pod, had);
}

const tableOf = ({ device }: Link): number => (device?.type === "vrf" ? (device.table ?? 0) : 0);

/** The VRF that is there, which may have other members; CniError 7 where it is not the one that is asked for. */
function findVrf({ name, table }: VrfPart, socket: NetlinkSocket): Link | undefined {
  const found = findLink(socket, name);
  if (!found) return undefined;
  if (found.kind !== "vrf") {
    throw new CniError(Code.InvalidConfig, `vrfname: link "${name}" in the container exists and is not a VRF`);
  }
  if (table && tableOf(found) !== table) {
    throw new CniError(
      Code.InvalidConfig,
      `table is ${table}, but VRF "${name}" is there already, with table ${tableOf(found)}`,
    );
  }
  return found;
}

function makeVrf(
  { name, table: wanted }: VrfPart,
  { pod: { socket } }: Site,
  undo: Undo,
): [index: number, table: number] {
  const table = wanted ?? freeTable(socket);
  undo.push(`delete VRF ${name}`, () => {
    const made = findLink(socket, name);
    if (made) removeIfEmpty(made, socket);
  });
  try {
    const make = createDevice({ name, device: { type: "vrf", table }, up: true });
    const [made] = socket.request([make, setAlias(name, "podwire: VRF"), getLink(name)]);
    return [indexOf(made!), table];
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP")) throw error;
    throw new CniError(Code.InvalidConfig, lackingKind("vrf"), error.message, { cause: error });
  }
}

/** The first table of the namespace that no VRF, no rule and no route uses. */
function freeTable(socket: NetlinkSocket): number {
  const used = new Set([
    ...listLinks(socket, { kind: "vrf" }).map(tableOf),
    ...tablesOfRules(socket),
    ...tablesOfRoutes(socket),
  ]);
  for (let table = 1; table < RT_TABLE_DEFAULT; table++) if (!used.has(table)) return table;
  throw new CniError(Code.InvalidConfig, "table is not set, and none from 1 to 252 is free in the container");
}

/** The interface goes back to table main; a VRF without members goes. CNI_NETNS may name another pod's namespace. */
function removeMember({ owner, site, mac }: Traces, part: VrfPart | undefined): "unknown" {
  const pod = part && site.findPod();
  const found = pod && findLink(pod.socket, part.name);
  if (found?.kind !== "vrf") return "unknown";
  const link = findLink(pod!.socket, owner.ifname);
  if (isAnothers(link, site)) return "unknown";
  const isMine = link?.master === found.index && (mac === undefined || mac === link.mac);
  if (isMine) bringBack(link, found, site);
  removeIfEmpty(found, pod!.socket);
  return "unknown";
}

function bringBack(link: Link, vrf: Link, { pod, log }: Site): void {
  const had = belongingsOf(link, pod.socket, MOST_BROUGHT_BACK);
  if (had.routes.length === MOST_BROUGHT_BACK) {
    log.warn(`link ${link.name} has ${MOST_BROUGHT_BACK} routes and more: those beyond are lost with VRF ${vrf.name}`);
  }
  rehome(link, { from: tableOf(vrf) }, pod, had);
}

function removeIfEmpty(vrf: Link, socket: NetlinkSocket): void {
  if (listLinks(socket, { master: vrf.index }).length === 0) removeLink(socket, vrf);
}

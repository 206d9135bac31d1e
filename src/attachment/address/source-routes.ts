import { CniError, Code } from "../../cni/error.ts";
import { waitForLock } from "../../kernel/lock.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isErrno } from "../../kernel/system-error.ts";
import {
  contains,
  defaultPrefix,
  familiesOf,
  families,
  formatIp,
  type Ip,
  isLinkLocal,
  isUnspecified,
  networkOf,
  sameIp,
  samePrefix,
} from "../../net/ip.ts";
import type { Message, Reply } from "../../netlink/message.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import {
  addRoute,
  decodeRoute,
  getRoutes,
  isElsewhereAt,
  type KernelRoute,
  RT_TABLE_MAIN,
} from "../../netlink/rtnetlink/route.ts";
import { copyRoute, deleteRoute, isMarked, marked, removalOf, sourceOf } from "../../netlink/rtnetlink/route-copy.ts";
import {
  addRule,
  decodeRule,
  deleteRule,
  getRules,
  ruleMention,
  type SourceRule,
} from "../../netlink/rtnetlink/rule.ts";
import type { SourceAddress, SourceRoutesPart } from "../attachment.ts";
import type { Kind } from "../kind.ts";
import { isAnothers } from "../link/anothers.ts";
import { findLink, listAddresses } from "../link/links.ts";
import type { Site } from "../site.ts";
import { IN_POD, rewriting } from "../step.ts";
import type { Undo } from "../undo.ts";
import { lackingRoutes } from "./missing.ts";
import { FIRST_TABLE, isSourceTable } from "./source-tables.ts";
import { tablesOfRoutes, tablesOfRules } from "./used-tables.ts";

const LOCK_DEADLINE_MS = 20_000;

/** What a pod sends from an address of the link leaves by that link: a rule for each, and its routes in a table. */
export const sourceRoutes: Kind<SourceRoutesPart> = {
  apply: (part, site, { undo }) => write(part, site, undo),

  mend: (part, site, { differences, undo }) =>
    rewriting(differences, {
      what: `lead what comes from ${listAddressesOf(part)} by ${site.owner.ifname}${IN_POD}`,
      run: () => write(part, site, undo, true),
    }),

  compare({ table, addresses }, site) {
    const { socket } = site.pod;
    const { ifname } = site.owner;
    const link = site.seenPodLink(ifname);
    if (!link) return [`link ${ifname} does not exist in the container`];
    const rules = rulesFrom(
      socket,
      addresses.map(({ address }) => address.ip),
    );
    return addresses.flatMap(({ address: { ip }, gateway }) => {
      const rule = rules.find(({ from, table: to }) => sameIp(from, ip) && (table === undefined || to === table));
      if (!rule) return [`rule from ${formatIp(ip)}${table === undefined ? "" : ` lookup ${table}`} is missing`];
      if (table !== undefined || !gateway) return [];
      const wanted = { dst: defaultPrefix(ip.family), ...through(gateway), table: rule.table };
      return lackingRoutes(socket, link, [wanted]).length === 0
        ? []
        : [`default route via ${formatIp(gateway)} is missing in table ${rule.table}`];
    });
  },

  remove({ owner, site, addresses }, part) {
    const pod = site.findPod();
    if (!pod) return "unknown";
    const { socket } = pod;
    const link = findLink(socket, owner.ifname);
    if (isAnothers(link, site)) return "unknown";
    const own = addresses.length > 0 ? addresses : link ? listAddresses(socket, link).map(({ ip }) => ip) : [];
    const rules = rulesFrom(socket, own).filter(({ table }) => part?.table === undefined || part.table === table);
    // the rules, which tell the tables, go last: a DEL that is killed can be repeated
    if (link && part?.table === undefined) giveBack(socket, link, new Set(rules.map(({ table }) => table)));
    for (const rule of rules) passOver(socket, deleteRule(rule));
    return rules.length > 0 ? "own" : "unknown";
  },
};

const listAddressesOf = ({ addresses }: SourceRoutesPart): string =>
  addresses.map(({ address }) => formatIp(address.ip)).join(", ");

function write(
  { table, addresses }: SourceRoutesPart,
  { pod, owner: { ifname } }: Site,
  undo: Undo,
  isMended = false,
): void {
  const { socket } = pod;
  const link = findLink(socket, ifname);
  if (!link) throw new CniError(Code.InvalidEnvironment, `CNI_IFNAME "${ifname}" is no link in ${pod.path}`);
  // another call for this namespace must not take the same tables
  if (!waitForLock(pod.fd, LOCK_DEADLINE_MS)) {
    throw new CniError(Code.TryAgainLater, `another plugin has locked ${pod.path} for ${LOCK_DEADLINE_MS / 1000} s`);
  }
  // what is there already is of an ADD before this one, and stays when this one fails
  const change = (message: Message, back: Message): void => {
    let isThere = false;
    undo.push(message.what, () => isThere || passOver(socket, back));
    try {
      socket.request([message]);
    } catch (error) {
      isThere = isErrno(error, "EEXIST");
      if (!isThere) throw error;
    }
  };
  const rules = rulesFrom(
    socket,
    addresses.map(({ address }) => address.ip),
  );
  const wanted =
    table === undefined
      ? assignTables(socket, link, addresses, { rules, isMended })
      : addresses.map((own) => ({ ...own, table }));
  for (const own of wanted) {
    const rule = { from: own.address.ip, table: own.table };
    // the kernel takes a rule any number of times, each at a priority of its own
    if (rules.some(({ from, table: to }) => to === rule.table && sameIp(from, rule.from))) continue;
    change(addRule(rule), deleteRule(rule));
  }
  if (table !== undefined) return;
  const isOwn = isMended ? isLedBy(addresses) : () => true;
  moveRoutes(socket, link, wanted, { isOwn, change });
}

/** Routes that are surely the attachment's own, not somebody's who added more since: its subnets', its gateways'. */
const isLedBy =
  (addresses: readonly SourceAddress[]) =>
  ({ dst, gw }: KernelRoute): boolean =>
    addresses.some(({ address, gateway }) =>
      gw ? gateway !== undefined && sameIp(gw, gateway) : samePrefix(dst, networkOf(address)),
    );

type Assigned = SourceAddress & { table: number };

/**
 * A table of its own for each address: that of its rule, where there is one and the link's routes are in it, else one
 * that neither a rule nor a route of the namespace knows yet. Where that is mended, that of its rule in any case, and
 * one with a route to its gateway that has lost its rule.
 */
function assignTables(
  socket: NetlinkSocket,
  link: Link,
  addresses: readonly SourceAddress[],
  { rules, isMended }: { rules: readonly SourceRule[]; isMended: boolean },
): Assigned[] {
  const routes = routesOf(socket, link, isElsewhereAt).map(([route]) => route);
  const [ruled, routed] = [tablesOfRules(socket), tablesOfRoutes(socket)];
  const filled = new Set(routes.map(({ table }) => table));
  const isLeft = ({ table, gw }: KernelRoute, { gateway }: SourceAddress): boolean =>
    isSourceTable(table) && gw !== undefined && gateway !== undefined && sameIp(gw, gateway);
  let next = FIRST_TABLE;
  return addresses.map((own) => {
    const rule = rules.find(
      ({ from, table }) => table >= FIRST_TABLE && sameIp(from, own.address.ip) && (isMended || filled.has(table)),
    );
    if (rule && rule.table !== RT_TABLE_MAIN) return { ...own, table: rule.table };
    const orphan = isMended && routes.find((route) => isLeft(route, own) && !ruled.has(route.table));
    if (orphan) return { ...own, table: orphan.table };
    while (ruled.has(next) || routed.has(next) || !isSourceTable(next)) next += 1;
    return { ...own, table: next++ };
  });
}

/** The rules for what these addresses send. */
function rulesFrom(socket: NetlinkSocket, addresses: readonly Ip[]): SourceRule[] {
  const rules: SourceRule[] = [];
  for (const family of familiesOf(addresses)) {
    socket.each(getRules(family), addresses.map(ruleMention), (reply) => {
      const { from, table } = decodeRule(reply) ?? {};
      if (from && table !== undefined && addresses.some((ip) => sameIp(ip, from))) rules.push({ from, table });
    });
  }
  return rules;
}

/** The unicast routes that lead through the link alone, as far as their bytes say `mayBe`. */
function routesOf(
  socket: NetlinkSocket,
  link: Link,
  mayBe: (datagram: Uint8Array, at: number) => boolean,
): [KernelRoute, Reply][] {
  const found: [KernelRoute, Reply][] = [];
  for (const family of families) {
    socket.sift(getRoutes(family, link), mayBe, (reply) => {
      const route = decodeRoute(reply);
      if (route?.index === link.index) found.push([route, reply]);
    });
  }
  return found;
}

/**
 * The link's routes go from main into the tables of the addresses they are for, and into all of their family where
 * nothing says so; what is link-local stays as well, for it has no address of ours as source.
 */
function moveRoutes(
  socket: NetlinkSocket,
  link: Link,
  wanted: readonly Assigned[],
  { isOwn, change }: { isOwn(route: KernelRoute): boolean; change(message: Message, back: Message): void },
): void {
  const moved = routesOf(socket, link, (datagram, at) => !isElsewhereAt(datagram, at)).filter(
    ([route]) =>
      route.table === RT_TABLE_MAIN && !(route.dst.ip.family === 6 && isLinkLocal(route.dst.ip)) && isOwn(route),
  );
  const ordered = moved.toSorted(gatewaysLast);
  for (const { address, gateway, table } of wanted) {
    const { family } = address.ip;
    const own = ordered.filter(([route, reply]) => {
      const told = sourceOf(reply) ?? route.gw;
      return route.dst.ip.family === family && (!told || contains(networkOf(address), told));
    });
    for (const [, reply] of own) change(copyRoute(reply, table), deleteRoute(reply, table));
    if (!gateway) continue;
    const { gw: wantedGateway } = through(gateway);
    const isSuch = ({ dst, gw }: KernelRoute): boolean =>
      samePrefix(dst, defaultPrefix(family)) && (gw !== undefined || !wantedGateway);
    if (own.some(([route]) => isSuch(route))) continue;
    const onlink = wantedGateway !== undefined && !contains(networkOf(address), wantedGateway);
    const spec = { dst: defaultPrefix(family), ...through(gateway), table, onlink };
    const message = marked(addRoute(link, spec));
    change(message, removalOf(message));
  }
  for (const [, reply] of ordered.toReversed()) {
    change(deleteRoute(reply, RT_TABLE_MAIN), copyRoute(reply, RT_TABLE_MAIN));
  }
}

/** An unspecified gateway is none: the route is on the link. */
const through = (gateway: Ip): { gw?: Ip } => (isUnspecified(gateway) ? {} : { gw: gateway });

/** A gateway must be reachable when its route is made. */
const gatewaysLast = ([a]: [KernelRoute, Reply], [b]: [KernelRoute, Reply]): number =>
  Number(a.gw !== undefined) - Number(b.gw !== undefined);

/** No configuration has more; beyond them the pod's own are left where it put them. */
const MOST_ROUTES = 1024;

/** DEL: the routes of the tables go back to main, but for the default routes that were made for them. */
function giveBack(socket: NetlinkSocket, link: Link, tables: ReadonlySet<number>): void {
  let left = MOST_ROUTES;
  const moved = routesOf(socket, link, (datagram, at) => isElsewhereAt(datagram, at) && left-- > 0).filter(
    ([{ table }]) => table >= FIRST_TABLE && tables.has(table),
  );
  for (const [{ table }, reply] of moved.toSorted(gatewaysLast)) {
    if (!isMarked(reply)) passOver(socket, copyRoute(reply, RT_TABLE_MAIN));
    passOver(socket, deleteRoute(reply, table));
  }
}

/** What is gone already is gone. */
function passOver(socket: NetlinkSocket, message: Message): void {
  try {
    socket.request([message]);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ESRCH", "ENODEV")) throw error;
  }
}

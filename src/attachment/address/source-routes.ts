import { CniError, Code } from "../../cni/error.ts";
import { waitForLock } from "../../kernel/lock.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isErrno } from "../../kernel/system-error.ts";
import {
  contains,
  defaultPrefix,
  families,
  formatIp,
  type Ip,
  isLinkLocal,
  networkOf,
  sameIp,
  samePrefix,
} from "../../net/ip.ts";
import type { Message, Reply } from "../../netlink/message.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { addRoute, decodeRoute, getRoutes, type KernelRoute, RT_TABLE_MAIN } from "../../netlink/rtnetlink/route.ts";
import { copyRoute, deleteRoute, isMarked, marked, removalOf, sourceOf } from "../../netlink/rtnetlink/route-copy.ts";
import { addRule, decodeRule, deleteRule, getRules, type SourceRule } from "../../netlink/rtnetlink/rule.ts";
import type { SourceAddress, SourceRoutesPart } from "../attachment.ts";
import type { Kind } from "../kind.ts";
import { findLink, listAddresses } from "../link/links.ts";

/** Tables from here on are taken for addresses that are given none. */
const FIRST_TABLE = 100;
const LOCK_DEADLINE_MS = 20_000;

/** What a pod sends from an address of the link leaves by that link: a rule for each, and its routes in a table. */
export const sourceRoutes: Kind<SourceRoutesPart> = {
  apply({ table, addresses }, { pod, owner: { ifname } }, { undo }) {
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
    const rules = allRules(socket);
    const wanted =
      table === undefined ? assignTables(socket, link, addresses, rules) : addresses.map((own) => ({ ...own, table }));
    for (const own of wanted) {
      const rule = { from: own.address.ip, table: own.table };
      // the kernel takes a rule any number of times, each at a priority of its own
      if (rules.some(({ from, table: to }) => to === rule.table && from && sameIp(from, rule.from))) continue;
      change(addRule(rule), deleteRule(rule));
    }
    if (table === undefined) moveRoutes(socket, link, wanted, change);
  },

  compare({ table, addresses }, site) {
    const { socket } = site.pod;
    const { ifname } = site.owner;
    const link = site.seenPodLink(ifname);
    if (!link) return [`link ${ifname} does not exist in the container`];
    const rules = listRules(socket);
    return addresses.flatMap(({ address: { ip }, gateway }) => {
      const rule = rules.find(({ from, table: to }) => sameIp(from, ip) && (table === undefined || to === table));
      if (!rule) return [`rule from ${formatIp(ip)}${table === undefined ? "" : ` lookup ${table}`} is missing`];
      if (table !== undefined || !gateway) return [];
      const hasDefault = routesOf(socket, link).some(
        ([{ dst, table: of, gw }]) => of === rule.table && dst.length === 0 && gw && sameIp(gw, gateway),
      );
      return hasDefault ? [] : [`default route via ${formatIp(gateway)} is missing in table ${rule.table}`];
    });
  },

  remove({ owner, site, addresses }, part) {
    const pod = site.findPod();
    if (!pod) return "unknown";
    const { socket } = pod;
    const link = findLink(socket, owner.ifname);
    const own = addresses.length > 0 ? addresses : link ? listAddresses(socket, link).map(({ ip }) => ip) : [];
    const rules = listRules(socket).filter(
      ({ from, table }) => own.some((ip) => sameIp(ip, from)) && (part?.table === undefined || part.table === table),
    );
    // the rules, which tell the tables, go last: a DEL that is killed can be repeated
    if (link && part?.table === undefined) giveBack(socket, link, new Set(rules.map(({ table }) => table)));
    for (const rule of rules) passOver(socket, deleteRule(rule));
    return rules.length > 0 ? "own" : "unknown";
  },
};

type Assigned = SourceAddress & { table: number };

/**
 * A table of its own for each address: that of its rule, where there is one and the link's routes are in it, else one
 * that neither a rule nor a route of the namespace knows yet.
 */
function assignTables(
  socket: NetlinkSocket,
  link: Link,
  addresses: readonly SourceAddress[],
  rules: readonly AnyRule[],
): Assigned[] {
  const routes = families.flatMap((family) =>
    socket.dump(getRoutes(family)).flatMap((reply) => decodeRoute(reply) ?? []),
  );
  const taken = new Set([...rules, ...routes].map(({ table }) => table));
  const filled = new Set(routes.filter(({ index }) => index === link.index).map(({ table }) => table));
  let next = FIRST_TABLE;
  return addresses.map((own) => {
    const rule = rules.find(
      ({ from, table }) => table >= FIRST_TABLE && from && sameIp(from, own.address.ip) && filled.has(table),
    );
    if (rule && rule.table !== RT_TABLE_MAIN) return { ...own, table: rule.table };
    while (taken.has(next)) next += 1;
    return { ...own, table: next++ };
  });
}

type AnyRule = NonNullable<ReturnType<typeof decodeRule>>;

const allRules = (socket: NetlinkSocket): AnyRule[] =>
  families.flatMap((family) => socket.dump(getRules(family)).flatMap((reply) => decodeRule(reply) ?? []));

/** Rules for single addresses. */
const listRules = (socket: NetlinkSocket): SourceRule[] =>
  allRules(socket).flatMap(({ from, table }) => (from ? [{ from, table }] : []));

/** The tables that rules for these addresses lead to. */
export const sourceTables = (socket: NetlinkSocket, ips: readonly Ip[]): number[] => [
  ...new Set(
    listRules(socket)
      .filter(({ from }) => ips.some((ip) => sameIp(ip, from)))
      .map(({ table }) => table),
  ),
];

/** The unicast routes that lead through the link alone, in all tables. */
const routesOf = (socket: NetlinkSocket, { index }: Link): [KernelRoute, Reply][] =>
  families
    .flatMap((family) => socket.dump(getRoutes(family)))
    .flatMap((reply): [KernelRoute, Reply][] => {
      const route = decodeRoute(reply);
      return route?.index === index ? [[route, reply]] : [];
    });

/**
 * The link's routes go from main into the tables of the addresses they are for, and into all of their family where
 * nothing says so; what is link-local stays as well, for it has no address of ours as source.
 */
function moveRoutes(
  socket: NetlinkSocket,
  link: Link,
  wanted: readonly Assigned[],
  change: (message: Message, back: Message) => void,
): void {
  const moved = routesOf(socket, link).filter(
    ([{ table, dst }]) => table === RT_TABLE_MAIN && !(dst.ip.family === 6 && isLinkLocal(dst.ip)),
  );
  const ordered = moved.toSorted(gatewaysLast);
  for (const { address, gateway, table } of wanted) {
    const { family } = address.ip;
    const own = ordered.filter(([route, reply]) => {
      const told = sourceOf(reply) ?? route.gw;
      return route.dst.ip.family === family && (!told || contains(networkOf(address), told));
    });
    for (const [, reply] of own) change(copyRoute(reply, table), deleteRoute(reply, table));
    const hasDefault = own.some(([{ dst, gw }]) => samePrefix(dst, defaultPrefix(family)) && gw !== undefined);
    if (!gateway || hasDefault) continue;
    const spec = { dst: defaultPrefix(family), gw: gateway, table, onlink: !contains(networkOf(address), gateway) };
    const message = marked(addRoute(link, spec));
    change(message, removalOf(message));
  }
  for (const [, reply] of ordered.toReversed()) {
    change(deleteRoute(reply, RT_TABLE_MAIN), copyRoute(reply, RT_TABLE_MAIN));
  }
}

/** A gateway must be reachable when its route is made. */
const gatewaysLast = ([a]: [KernelRoute, Reply], [b]: [KernelRoute, Reply]): number =>
  Number(a.gw !== undefined) - Number(b.gw !== undefined);

/** DEL: the routes of the tables go back to main, but for the default routes that were made for them. */
function giveBack(socket: NetlinkSocket, link: Link, tables: ReadonlySet<number>): void {
  const moved = routesOf(socket, link).filter(([{ table }]) => table >= FIRST_TABLE && tables.has(table));
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

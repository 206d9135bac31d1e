import { viewOf } from "../../net/bytes.ts";
import { bits, type Family, formatIp, formatPrefix, type Ip, ipBytes, ipFromBytes, type Prefix } from "../../net/ip.ts";
import { attribute, decodeAttributes, nested, NLM_F, u32 } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { AF } from "./address.ts";

/** linux/rtnetlink.h */
export const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
export const RTA = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  CACHEINFO: 12,
  TABLE: 15,
  VIA: 18,
} as const;
const RTAX = { MTU: 2, ADVMSS: 8 } as const;
const RTPROT_KERNEL = 2;
const RTPROT_BOOT = 3;
const RTPROT_RA = 9;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const RTNH_F_ONLINK = 4;
export const RTNLGRP_IPV6_ROUTE = 11;
/** stands in struct rtmsg for a table that needs more than its byte */
const RT_TABLE_COMPAT = 252;
/** the three tables the kernel itself has; DEFAULT is the first */
export const RT_TABLE_DEFAULT = 253;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RT_SCOPE = { UNIVERSE: 0, LINK: 253, HOST: 254 } as const;

/** A route of one link; what is absent is left to the kernel. */
export interface RouteSpec {
  dst: Prefix;
  gw?: Ip;
  /** preferred source address */
  src?: Ip;
  /** RT_SCOPE_*; the kernel's default for the kind of route when absent */
  scope?: number;
  table?: number;
  priority?: number;
  mtu?: number;
  advmss?: number;
  /** RTNH_F_ONLINK: the gateway is reachable on the link though no route says so */
  onlink?: boolean;
}

/** A route as the kernel lists it. */
export interface KernelRoute {
  dst: Prefix;
  table: number;
  scope: number;
  index?: number;
  gw?: Ip;
  priority?: number;
  mtu?: number;
  advmss?: number;
  /** a router advertised it, or the prefix of an address the node made itself */
  isAdvertised: boolean;
}

/** struct rtmsg */
function header(
  family: Family,
  length: number,
  fields: { table?: number; scope?: number; flags?: number },
): Uint8Array {
  const bytes = new Uint8Array(12);
  const table = fields.table ?? RT_TABLE_MAIN;
  bytes[0] = AF[family];
  bytes[1] = length;
  bytes[4] = table < 256 ? table : 0;
  bytes[5] = RTPROT_BOOT;
  bytes[6] = fields.scope ?? RT_SCOPE.UNIVERSE;
  bytes[7] = RTN_UNICAST;
  viewOf(bytes).setUint32(8, fields.flags ?? 0, true);
  return bytes;
}

function payload(link: { index: number }, route: RouteSpec): Uint8Array[] {
  const { dst, gw, src, table, priority, mtu, advmss } = route;
  const metrics = [...(mtu ? u32(RTAX.MTU, mtu) : []), ...(advmss ? u32(RTAX.ADVMSS, advmss) : [])];
  const flags = route.onlink ? RTNH_F_ONLINK : 0;
  return [
    header(dst.ip.family, dst.length, {
      ...(table !== undefined && { table }),
      ...(route.scope !== undefined && { scope: route.scope }),
      flags,
    }),
    ...(dst.length > 0 ? attribute(RTA.DST, ipBytes(dst.ip)) : []),
    ...u32(RTA.OIF, link.index),
    ...(gw ? attribute(RTA.GATEWAY, ipBytes(gw)) : []),
    ...(src ? attribute(RTA.PREFSRC, ipBytes(src)) : []),
    ...(priority ? u32(RTA.PRIORITY, priority) : []),
    ...(table !== undefined && table > 255 ? u32(RTA.TABLE, table) : []),
    ...(metrics.length ? nested(RTA.METRICS, metrics) : []),
  ];
}

/** A route in the words of `ip route`, for messages. */
export const formatRoute = (route: { dst: Prefix; gw?: Ip; table?: number }): string =>
  formatPrefix(route.dst) +
  (route.gw ? ` via ${formatIp(route.gw)}` : "") +
  (route.table === undefined || route.table === RT_TABLE_MAIN ? "" : ` table ${route.table}`);

/** Adds a route through a link; EEXIST when the same one is there, ENETUNREACH when nothing leads to the gateway. */
export const addRoute = (link: { index: number; name: string }, route: RouteSpec): Message => ({
  type: RTM_NEWROUTE,
  flags: NLM_F.CREATE,
  data: payload(link, route),
  what: `add route ${formatRoute(route)} to link ${link.name}`,
});

/** As `addRoute`, but EEXIST also where a route to the same destination leads elsewhere. */
export const claimRoute = (link: { index: number; name: string }, route: RouteSpec): Message => ({
  ...addRoute(link, route),
  flags: NLM_F.CREATE | NLM_F.EXCL,
});

/** Of a reply to `getRoutes`, as `lengthAt`: neither the kernel nor a router's advertisement made the route. */
export const isChosenAt = (bytes: Uint8Array, at: number): boolean =>
  bytes[at + 5] !== RTPROT_KERNEL && bytes[at + 5] !== RTPROT_RA;

/** Adds a route that was read, with everything that is its own, in another table. */
export function moveRoute(reply: Reply, table: number): Message {
  const [first] = decodeRoutes(reply);
  const bytes = reply.data.slice(0, 12);
  bytes[4] = table < 256 ? table : 0;
  const view = viewOf(bytes);
  view.setUint32(8, view.getUint32(8, true) & RTNH_F_ONLINK, true); // the others say how it was
  const kept = [...decodeAttributes(reply.data.subarray(12))].filter(
    ([type]) => type !== RTA.TABLE && type !== RTA.CACHEINFO,
  );
  return {
    type: RTM_NEWROUTE,
    flags: NLM_F.CREATE,
    data: [bytes, ...kept.flatMap(([type, data]) => attribute(type, data)), ...u32(RTA.TABLE, table)],
    what: `add route ${first ? formatRoute({ ...first, table }) : ""}`,
  };
}

/**
 * Asks for all routes of a family, all tables (use with NetlinkSocket.dump), or for those through one link, which a
 * kernel before 4.20 takes for all.
 */
export function getRoutes(family: Family, link?: { index: number }): Message {
  const everything = new Uint8Array(12); // any other field would filter the dump
  everything[0] = AF[family];
  const through = link ? u32(RTA.OIF, link.index) : [];
  return { type: RTM_GETROUTE, flags: 0, data: [everything, ...through], what: "list routes" };
}

/** Bytes that every reply to `getRoutes` has in it which tells of a route to that destination in that table. */
export function mentionOf({ dst, table = RT_TABLE_MAIN }: Pick<RouteSpec, "dst" | "table">): Uint8Array {
  if (dst.length > 0) return attribute(RTA.DST, ipBytes(dst.ip))[0]!;
  // struct rtmsg: family, lengths, tos, table
  return Uint8Array.of(AF[dst.ip.family], 0, 0, 0, table < 256 ? table : RT_TABLE_COMPAT);
}

/** Of a reply to `getRoutes` whose struct rtmsg begins there: how long its destination is. */
export const lengthAt = (datagram: Uint8Array, at: number): number => datagram[at + 1]!;

/** As `lengthAt`, whether its table is one that somebody made up, none of the kernel's own three. */
export const isElsewhereAt = (datagram: Uint8Array, at: number): boolean =>
  datagram[at + 4]! < RT_TABLE_DEFAULT && datagram[at + 4] !== 0;

/** Asks which way packets for an address go, as `ip route get` does; those of a VRF by its index. */
export function getRouteTo(ip: Ip, vrf = 0): Message {
  const header = new Uint8Array(12);
  header[0] = AF[ip.family];
  header[1] = bits(ip.family);
  const through = vrf === 0 ? [] : u32(RTA.OIF, vrf);
  const data = [header, ...attribute(RTA.DST, ipBytes(ip)), ...through];
  return { type: RTM_GETROUTE, flags: 0, data, what: "look up a route" };
}

/** linux/rtnetlink.h: the route itself, since Linux 4.14, in place of the way packets go */
const RTM_F_FIB_MATCH = 0x2000;

/** Asks for the route that packets for an address take (`decodeRoutes`), those of a VRF by its index. */
export function getRouteOf(ip: Ip, vrf?: number): Message {
  const [header, ...rest] = getRouteTo(ip, vrf).data as [Uint8Array, ...Uint8Array[]];
  viewOf(header).setUint32(8, RTM_F_FIB_MATCH, true);
  return { type: RTM_GETROUTE, flags: 0, data: [header, ...rest], what: "look up a route" };
}

/** What a reply to RTM_GETROUTE says of the way to one address: the link, and whether a gateway is in between. */
export interface Way {
  /** "local": the namespace takes it in; "unicast": it leaves by the link; undefined for what goes nowhere */
  kind: "local" | "unicast" | undefined;
  index: number | undefined;
  hasGateway: boolean;
}

export function decodeWay({ data }: Reply): Way {
  const attributes = decodeAttributes(data.subarray(12));
  const kind = data[7] === RTN_LOCAL ? "local" : data[7] === RTN_UNICAST ? "unicast" : undefined;
  return { kind, index: attributes.u32(RTA.OIF), hasGateway: attributes.has(RTA.GATEWAY) || attributes.has(RTA.VIA) };
}

/** The unicast route of a reply to RTM_GETROUTE; undefined for another message or type of route. */
export function decodeRoute({ type, data }: Reply): KernelRoute | undefined {
  if (type !== RTM_NEWROUTE || data[7] !== RTN_UNICAST) return undefined;
  const family = data[0] === AF[4] ? 4 : data[0] === AF[6] ? 6 : undefined;
  if (!family) return undefined;
  const attributes = decodeAttributes(data.subarray(12));
  const metrics = attributes.nested(RTA.METRICS);
  const dst = attributes.get(RTA.DST);
  const gw = attributes.get(RTA.GATEWAY);
  const optional = {
    index: attributes.u32(RTA.OIF),
    priority: attributes.u32(RTA.PRIORITY),
    mtu: metrics.u32(RTAX.MTU),
    advmss: metrics.u32(RTAX.ADVMSS),
  };
  return {
    dst: { ip: dst ? ipFromBytes(dst) : { family, value: 0n }, length: data[1]! },
    table: attributes.u32(RTA.TABLE) ?? data[4]!,
    scope: data[6]!,
    isAdvertised: data[5] === RTPROT_RA || (data[5] === RTPROT_KERNEL && doesExpire(attributes.get(RTA.CACHEINFO))),
    ...(gw && { gw: ipFromBytes(gw) }),
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<
      Record<keyof typeof optional, number>
    >),
  };
}

/** struct rta_cacheinfo { u32 clntref, lastuse; s32 expires; ... }: 0 for a route that stays */
const doesExpire = (info: Uint8Array | undefined): boolean => info !== undefined && viewOf(info).getInt32(8, true) > 0;

/**
 * As `decodeRoute`, but one route per next hop: of two IPv6 routes that differ in device or gateway alone the kernel
 * makes one.
 */
export function decodeRoutes(reply: Reply): KernelRoute[] {
  const route = decodeRoute(reply);
  if (!route) return [];
  const hops = decodeAttributes(reply.data.subarray(12)).get(RTA.MULTIPATH);
  return hops ? decodeNextHops(hops).map((hop) => ({ ...route, ...hop })) : [route];
}

/** struct rtnexthop { u16 rtnh_len; u8 flags; u8 hops; s32 ifindex; } and its attributes, each aligned to 4 bytes */
function decodeNextHops(bytes: Uint8Array): Pick<KernelRoute, "index" | "gw">[] {
  const hops: Pick<KernelRoute, "index" | "gw">[] = [];
  const view = viewOf(bytes);
  for (let at = 0, length = 8; at + 8 <= bytes.length; at += (length + 3) & ~3) {
    length = view.getUint16(at, true);
    if (length < 8 || at + length > bytes.length) break;
    const gw = decodeAttributes(bytes.subarray(at + 8, at + length)).get(RTA.GATEWAY);
    hops.push({ index: view.getInt32(at + 4, true), ...(gw && { gw: ipFromBytes(gw) }) });
  }
  return hops;
}

import { bits, type Family, formatIp, formatPrefix, type Ip, ipBytes, ipFromBytes, type Prefix } from "../../net/ip.ts";
import { attribute, type Attributes, decodeAttributes, type Message, nested, NLM_F, type Reply, u32 } from "../netlink.ts";
import { AF } from "./address.ts";

/** linux/rtnetlink.h */
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, METRICS: 8, MULTIPATH: 9, TABLE: 15 } as const;
const RTAX = { MTU: 2, ADVMSS: 8 } as const;
const RTPROT_BOOT = 3;
const RTN_UNICAST = 1;
const RTNH_F_ONLINK = 4;
export const RTNLGRP_IPV6_ROUTE = 11;
export const RT_TABLE_MAIN = 254;
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
}

/** struct rtmsg */
function header(family: Family, length: number, fields: { table?: number; scope?: number; flags?: number }): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(AF[family], 0);
  bytes.writeUInt8(length, 1);
  const table = fields.table ?? RT_TABLE_MAIN;
  bytes.writeUInt8(table < 256 ? table : 0, 4);
  bytes.writeUInt8(RTPROT_BOOT, 5);
  bytes.writeUInt8(fields.scope ?? RT_SCOPE.UNIVERSE, 6);
  bytes.writeUInt8(RTN_UNICAST, 7);
  bytes.writeUInt32LE(fields.flags ?? 0, 8);
  return bytes;
}

function payload(link: { index: number }, route: RouteSpec): Uint8Array[] {
  const { dst, gw, src, table, priority, mtu, advmss } = route;
  const metrics = [...(mtu ? u32(RTAX.MTU, mtu) : []), ...(advmss ? u32(RTAX.ADVMSS, advmss) : [])];
  const flags = route.onlink ? RTNH_F_ONLINK : 0;
  return [
    header(dst.ip.family, dst.length, { ...(table !== undefined && { table }), ...(route.scope !== undefined && { scope: route.scope }), flags }),
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
  `${formatPrefix(route.dst)}${route.gw ? ` via ${formatIp(route.gw)}` : ""}${route.table === undefined || route.table === RT_TABLE_MAIN ? "" : ` table ${route.table}`}`;

/** Adds a route through a link; EEXIST when the same one is there, ENETUNREACH when nothing leads to the gateway. */
export const addRoute = (link: { index: number; name: string }, route: RouteSpec): Message => ({
  type: RTM_NEWROUTE,
  flags: NLM_F.CREATE,
  data: payload(link, route),
  what: `add route ${formatRoute(route)} to link ${link.name}`,
});

/** As `addRoute`, but puts it in the place of a route to the same destination, whatever device that uses. */
export const replaceRoute = (link: { index: number; name: string }, route: RouteSpec): Message => ({ ...addRoute(link, route), flags: NLM_F.CREATE | NLM_F.REPLACE });

/** Asks for all routes of a family, all tables (use with NetlinkSocket.dump). */
export function getRoutes(family: Family): Message {
  const everything = Buffer.alloc(12); // any other field would filter the dump
  everything.writeUInt8(AF[family], 0);
  return { type: RTM_GETROUTE, flags: 0, data: [everything], what: "list routes" };
}

/** The unicast route of a reply to RTM_GETROUTE; undefined for another message or type of route. */
export function decodeRoute({ type, data }: Reply): KernelRoute | undefined {
  if (type !== RTM_NEWROUTE || data[7] !== RTN_UNICAST) return undefined;
  const family = data[0] === AF[4] ? 4 : data[0] === AF[6] ? 6 : undefined;
  if (!family) return undefined;
  const attributes = decodeAttributes(data.subarray(12));
  const number = (of: Attributes, key: number): number | undefined => of.get(key)?.readUInt32LE(0);
  const metrics = decodeAttributes(attributes.get(RTA.METRICS) ?? Buffer.alloc(0));
  const dst = attributes.get(RTA.DST);
  const gw = attributes.get(RTA.GATEWAY);
  const optional = { index: number(attributes, RTA.OIF), priority: number(attributes, RTA.PRIORITY), mtu: number(metrics, RTAX.MTU), advmss: number(metrics, RTAX.ADVMSS) };
  return {
    dst: { ip: dst ? ipFromBytes(dst) : ipFromBytes(Buffer.alloc(bits(family) / 8)), length: data[1]! },
    table: number(attributes, RTA.TABLE) ?? data[4]!,
    scope: data[6]!,
    ...(gw && { gw: ipFromBytes(gw) }),
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<Record<keyof typeof optional, number>>),
  };
}

/** As `decodeRoute`, but one route per next hop: of two IPv6 routes that differ in device or gateway alone the kernel makes one. */
export function decodeRoutes(reply: Reply): KernelRoute[] {
  const route = decodeRoute(reply);
  if (!route) return [];
  const hops = decodeAttributes(reply.data.subarray(12)).get(RTA.MULTIPATH);
  return hops ? decodeNextHops(hops).map((hop) => ({ ...route, ...hop })) : [route];
}

/** struct rtnexthop { u16 rtnh_len; u8 flags; u8 hops; s32 ifindex; } and its attributes, each aligned to 4 bytes */
function decodeNextHops(bytes: Buffer): Pick<KernelRoute, "index" | "gw">[] {
  const hops: Pick<KernelRoute, "index" | "gw">[] = [];
  for (let at = 0, length = 8; at + 8 <= bytes.length && length >= 8; at += (length + 3) & ~3) {
    length = bytes.readUInt16LE(at);
    const gw = decodeAttributes(bytes.subarray(at + 8, at + length)).get(RTA.GATEWAY);
    hops.push({ index: bytes.readInt32LE(at + 4), ...(gw && { gw: ipFromBytes(gw) }) });
  }
  return hops;
}

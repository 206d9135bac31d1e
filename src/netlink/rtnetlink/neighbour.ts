import { viewOf } from "../../net/bytes.ts";
import { type Family, formatIp, type Ip, ipBytes, ipFromBytes } from "../../net/ip.ts";
import { macBytes, macFromBytes } from "../../net/mac.ts";
import { attribute, decodeAttributes, NLM_F } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { AF } from "./address.ts";

/** linux/rtnetlink.h, linux/neighbour.h */
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const NDA = { DST: 1, LLADDR: 2, CACHEINFO: 3 } as const;
/** USER_HZ */
const TICK_MS = 10;
export const NUD_PERMANENT = 0x80;
/** what is known is good, is being asked for, or was asked for in vain */
export const NUD = { INCOMPLETE: 0x01, REACHABLE: 0x02, STALE: 0x04, DELAY: 0x08, PROBE: 0x10, FAILED: 0x20 } as const;
/** asks for it as a packet would */
const NTF_USE = 0x01;
export const RTNLGRP_NEIGH = 3;

/** struct ndmsg */
function header(ip: Ip, index: number, state: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = viewOf(bytes);
  bytes[0] = AF[ip.family];
  view.setInt32(4, index, true);
  view.setUint16(8, state, true);
  return bytes;
}

/** Writes a permanent neighbour: the link layer address of an IP on a link, never asked for again. */
export const setNeighbour = (link: { index: number; name: string }, ip: Ip, mac: string): Message => ({
  type: RTM_NEWNEIGH,
  flags: NLM_F.CREATE | NLM_F.REPLACE,
  data: [
    header(ip, link.index, NUD_PERMANENT),
    ...attribute(NDA.DST, ipBytes(ip)),
    ...attribute(NDA.LLADDR, macBytes(mac)),
  ],
  what: `set neighbour ${formatIp(ip)} on link ${link.name}`,
});

/** Forgets what a link learned about an IP; ENOENT when that was nothing. */
export const deleteNeighbour = (link: { index: number; name: string }, ip: Ip): Message => ({
  type: RTM_DELNEIGH,
  flags: 0,
  data: [header(ip, link.index, 0), ...attribute(NDA.DST, ipBytes(ip))],
  what: `forget neighbour ${formatIp(ip)} on link ${link.name}`,
});

/** An entry of a neighbour table. */
export interface Neighbour {
  index: number;
  ip: Ip;
  /** NUD_* */
  state: number;
  /** "" while it is asked for */
  mac: string;
  /** how long ago what is known of it changed, in milliseconds */
  updatedMs?: number;
}

/** Asks for all neighbours of a family (use with NetlinkSocket.dump). */
export function getNeighbours(family: Family): Message {
  const everything = new Uint8Array(12);
  everything[0] = AF[family];
  return { type: RTM_GETNEIGH, flags: 0, data: [everything], what: "list neighbours" };
}

/** Bytes that every reply to `getNeighbours` has in it which tells of that one. */
export const neighbourMention = (ip: Ip): Uint8Array => attribute(NDA.DST, ipBytes(ip))[0]!;

/** The neighbour of a reply to RTM_GETNEIGH; undefined for another message. */
export function decodeNeighbour({ type, data }: Reply): Neighbour | undefined {
  if (type !== RTM_NEWNEIGH) return undefined;
  const attributes = decodeAttributes(data.subarray(12));
  const dst = attributes.get(NDA.DST);
  if (!dst || (dst.length !== 4 && dst.length !== 16)) return undefined;
  const view = viewOf(data);
  const mac = attributes.get(NDA.LLADDR);
  // struct nda_cacheinfo { u32 confirmed, used, updated, refcnt; } in ticks ago
  const times = attributes.get(NDA.CACHEINFO);
  return {
    index: view.getInt32(4, true),
    state: view.getUint16(8, true),
    ip: ipFromBytes(dst),
    mac: mac ? macFromBytes(mac) : "",
    ...(times && { updatedMs: viewOf(times).getUint32(8, true) * TICK_MS }),
  };
}

/** Makes the kernel ask who has an address on a link, once, as the first packet to it would. */
export function askNeighbour(link: { index: number; name: string }, ip: Ip): Message {
  const bytes = header(ip, link.index, 0);
  bytes[10] = NTF_USE;
  return {
    type: RTM_NEWNEIGH,
    flags: NLM_F.CREATE,
    data: [bytes, ...attribute(NDA.DST, ipBytes(ip))],
    what: `ask for neighbour ${formatIp(ip)} on link ${link.name}`,
  };
}

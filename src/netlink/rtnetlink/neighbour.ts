import { viewOf } from "../../net/bytes.ts";
import { formatIp, type Ip, ipBytes } from "../../net/ip.ts";
import { macBytes } from "../../net/mac.ts";
import { attribute, NLM_F } from "../codec.ts";
import type { Message } from "../message.ts";
import { AF } from "./address.ts";

/** linux/rtnetlink.h, linux/neighbour.h */
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const NDA = { DST: 1, LLADDR: 2 } as const;
const NUD_PERMANENT = 0x80;

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

import { type Ip, ipFromBytes } from "../../net/ip.ts";
import { attribute, decodeAttributes, NLM_F, u32 } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { RTA, RTM_NEWROUTE } from "./route.ts";

// A route as a dump lists it, with all that is its own (metrics, protocol, preferred source), moved between tables.

/** linux/rtnetlink.h */
const RTM_DELROUTE = 25;
const RTPROT_STATIC = 4;

/** Puts it into a table, where it takes the place of an equal one. */
export const copyRoute = (reply: Reply, table: number): Message => ({
  type: RTM_NEWROUTE,
  flags: NLM_F.CREATE | NLM_F.REPLACE,
  data: retabled(reply, table),
  what: `copy a route to table ${table}`,
});

/** Deletes it from the table it is in; ESRCH where it is not there any more. */
export const deleteRoute = (reply: Reply, table: number): Message => ({
  type: RTM_DELROUTE,
  flags: 0,
  data: retabled(reply, table),
  what: `delete a route from table ${table}`,
});

/** What takes away the route that such a message adds. */
export const removalOf = (message: Message): Message => ({ ...message, type: RTM_DELROUTE, flags: 0 });

/** A message that adds a route, marked so that `isMarked` tells it from those that were copied. */
export function marked(message: Message): Message {
  const [head, ...attributes] = message.data;
  const own = head!.slice();
  own[5] = RTPROT_STATIC;
  return { ...message, data: [own, ...attributes] };
}

export const isMarked = ({ data }: Reply): boolean => data[5] === RTPROT_STATIC;

/** struct rtmsg with another table, without the flags, which say what the kernel found, and without its counts. */
function retabled({ data }: Reply, table: number): Uint8Array[] {
  const head = data.slice(0, 12);
  head[4] = table < 256 ? table : 0;
  head.fill(0, 8);
  const own = [...decodeAttributes(data.subarray(12))].filter(([type]) => type !== RTA.TABLE && type !== RTA.CACHEINFO);
  return [head, ...own.flatMap(([type, value]) => attribute(type, value)), ...u32(RTA.TABLE, table)];
}

/** Its preferred source address, where it has one. */
export function sourceOf({ data }: Reply): Ip | undefined {
  const source = decodeAttributes(data.subarray(12)).get(RTA.PREFSRC);
  return source && ipFromBytes(source);
}

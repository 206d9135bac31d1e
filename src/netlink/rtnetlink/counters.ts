import { viewOf } from "../../net/bytes.ts";
import { decodeAttributes, text } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { header, IFLA, RTM_GETLINK } from "./ifinfo.ts";

/** linux/if_link.h */
const IFLA_STATS64 = 23;
const IFLA_CARRIER_CHANGES = 35;

/** Packets a link took in and sent since it was made. */
export interface Counters {
  received: bigint;
  sent: bigint;
}

/** Asks for a link with its counters, which `getLink` leaves out. */
export const getCounters = (name: string): Message => ({
  type: RTM_GETLINK,
  flags: 0,
  data: [header(), ...text(IFLA.IFNAME, name)],
  what: `read counters of link ${name}`,
});

/** How often its carrier came or went. */
export const decodeCarrierChanges = ({ data }: Reply): number | undefined =>
  decodeAttributes(data.subarray(16)).u32(IFLA_CARRIER_CHANGES);

/** struct rtnl_link_stats64 { u64 rx_packets; u64 tx_packets; ... }, behind struct ifinfomsg */
export function decodeCounters({ data }: Reply): Counters | undefined {
  const stats = decodeAttributes(data.subarray(16)).get(IFLA_STATS64);
  if (!stats || stats.length < 16) return undefined;
  const view = viewOf(stats);
  return { received: view.getBigUint64(0, true), sent: view.getBigUint64(8, true) };
}

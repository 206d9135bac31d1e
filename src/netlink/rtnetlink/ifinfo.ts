import { viewOf } from "../../net/bytes.ts";

/** linux/rtnetlink.h */
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
/** linux/if_link.h */
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  PROTINFO: 12,
  TXQLEN: 13,
  OPERSTATE: 16,
  LINKINFO: 18,
  IFALIAS: 20,
  AF_SPEC: 26,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  PROMISCUITY: 30,
} as const;
export const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_DATA: 5 } as const;
/** linux/if.h */
export const IFF_UP = 0x1;

/** struct ifinfomsg */
export function header(options: { family?: number; index?: number; flags?: number; change?: number } = {}): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  bytes[0] = options.family ?? 0;
  view.setInt32(4, options.index ?? 0, true);
  view.setUint32(8, options.flags ?? 0, true);
  view.setUint32(12, options.change ?? 0, true);
  return bytes;
}

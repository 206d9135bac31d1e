import { viewOf } from "../../net/bytes.ts";
import { nested, NLM_F, text, u32 } from "../codec.ts";
import type { Message } from "../message.ts";

// Messages that make nothing wherever they are understood: the kernel's answer tells whether they are.

/** linux/rtnetlink.h, linux/if_link.h */
const RTM_NEWLINK = 16;
const RTM_NEWQDISC = 36;
const IFLA = { IFNAME: 3, LINKINFO: 18, NUM_TX_QUEUES: 31 } as const;
const IFLA_INFO_KIND = 1;
const TCA_KIND = 1;
const TC_H_ROOT = 0xffff_ffff;
/** One more than any link may have (rtnl_create_link of the kernel's net/core/rtnetlink.c). */
const TOO_MANY_QUEUES = 4097;

/**
 * Asks for a link of a kind that cannot be made, by its number of queues and, before Linux 5, its name: EOPNOTSUPP
 * where the kernel has no such kind, else EINVAL.
 */
export const probeLinkKind = (kind: string): Message => ({
  type: RTM_NEWLINK,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [
    new Uint8Array(16), // struct ifinfomsg
    ...text(IFLA.IFNAME, "a/b"),
    ...u32(IFLA.NUM_TX_QUEUES, TOO_MANY_QUEUES),
    ...nested(IFLA.LINKINFO, text(IFLA_INFO_KIND, kind)),
  ],
  what: `look for links of kind ${kind}`,
});

/** Asks for a token bucket filter without its numbers: ENOENT where the kernel has none, else EINVAL. */
export function probeTbf(link: { index: number }): Message {
  const header = new Uint8Array(20); // struct tcmsg
  const view = viewOf(header);
  view.setInt32(4, link.index, true);
  view.setUint32(8, 0x0001_0000, true); // 1:
  view.setUint32(12, TC_H_ROOT, true);
  return {
    type: RTM_NEWQDISC,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    data: [header, ...text(TCA_KIND, "tbf")],
    what: "look for token bucket filters",
  };
}

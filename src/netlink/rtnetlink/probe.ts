import { nested, NLM_F, text, u32 } from "../codec.ts";
import type { Message } from "../message.ts";
import { header, IFLA, IFLA_INFO, RTM_NEWLINK } from "./ifinfo.ts";

/** One more than any link may have (rtnl_create_link of the kernel's net/core/rtnetlink.c). */
const TOO_MANY_QUEUES = 4097;

/**
 * Asks for a link of a kind that cannot be made, by its number of queues and, before Linux 5, its name: EOPNOTSUPP
 * where the kernel has no such kind, else EINVAL. Nothing is made wherever it is understood.
 */
export const probeLinkKind = (kind: string): Message => ({
  type: RTM_NEWLINK,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [
    header(),
    ...text(IFLA.IFNAME, "a/b"),
    ...u32(IFLA.NUM_TX_QUEUES, TOO_MANY_QUEUES),
    ...nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, kind)),
  ],
  what: `look for links of kind ${kind}`,
});

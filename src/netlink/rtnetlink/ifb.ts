import { macBytes } from "../../net/mac.ts";
import { attribute, nested, NLM_F, text, u32 } from "../codec.ts";
import type { Message } from "../message.ts";
import { header, IFF_UP, IFLA, IFLA_INFO, RTM_NEWLINK } from "./ifinfo.ts";

/** Makes an ifb (intermediate functional block: what it is sent comes back out of its qdisc), up; EEXIST when there. */
export const createIfb = ({ name, mac, mtu }: { name: string; mac: string; mtu: number }): Message => ({
  type: RTM_NEWLINK,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [
    header({ flags: IFF_UP, change: IFF_UP }),
    ...text(IFLA.IFNAME, name),
    ...attribute(IFLA.ADDRESS, macBytes(mac)),
    ...u32(IFLA.MTU, mtu),
    ...u32(IFLA.TXQLEN, 0),
    ...nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "ifb")),
  ],
  what: `create ifb ${name}`,
});

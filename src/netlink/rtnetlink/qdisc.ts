import { viewOf } from "../../net/bytes.ts";
import { attribute, type Bytes, decodeAttributes, nested, NLM_F, text, u32, u64 } from "../codec.ts";
import type { Message, Reply } from "../message.ts";

/** linux/rtnetlink.h */
const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
const TCA = { KIND: 1, OPTIONS: 2 } as const;
/** linux/pkt_sched.h */
const TC_H_ROOT = 0xffff_ffff;
const TC_H_INGRESS = 0xffff_fff1;
const TCA_TBF = { PARMS: 1, RATE64: 4 } as const;
/** linux/pkt_cls.h */
const TCA_U32 = { CLASSID: 1, SEL: 5, ACT: 7 } as const;
const TC_U32_TERMINAL = 1;
const TCA_ACT = { KIND: 1, OPTIONS: 2 } as const;
const TC_ACT_STOLEN = 4;
/** linux/tc_act/tc_mirred.h */
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
/** linux/if_ether.h, in network byte order */
const ETH_P_ALL = 0x0300;

/** `1:`, the handle of a shaper at the root of a link. */
const SHAPER = 0x0001_0000;
/** `ffff:`, the handle every ingress qdisc has. */
const INGRESS = 0xffff_0000;
/** `1:1`, which class redirected packets are in: nothing depends on it. */
const CLASS = 0x0001_0001;

type Target = { index: number; name: string };

/** A token bucket filter as the kernel keeps it: bytes a second, bytes of the queue, the bucket in ticks of 64 ns. */
export interface Tbf {
  rate: number;
  limit: number;
  buffer: number;
}

/** struct tcmsg */
function header({ index, handle = 0, parent, info = 0 }: Record<"index" | "parent", number> & Record<string, number>) {
  const bytes = new Uint8Array(20);
  const view = viewOf(bytes);
  view.setInt32(4, index, true);
  view.setUint32(8, handle, true);
  view.setUint32(12, parent, true);
  view.setUint32(16, info, true);
  return bytes;
}

/** struct tc_tbf_qopt: two struct tc_ratespec of 12 bytes, of which the first's rate counts, then limit, buffer, mtu */
function tbfOptions({ rate, limit, buffer }: Tbf): Bytes {
  const parms = new Uint8Array(36);
  const view = viewOf(parms);
  view.setUint32(8, Math.min(rate, 0xffff_ffff), true);
  view.setUint32(24, limit, true);
  view.setUint32(28, buffer, true);
  return [...attribute(TCA_TBF.PARMS, parms), ...(rate > 0xffff_ffff ? u64(TCA_TBF.RATE64, BigInt(rate)) : [])];
}

/** Puts a token bucket filter at the root of a link; EEXIST where there is a qdisc already that somebody chose. */
export const addTbf = ({ index, name }: Target, tbf: Tbf): Message => ({
  type: RTM_NEWQDISC,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [
    header({ index, handle: SHAPER, parent: TC_H_ROOT }),
    ...text(TCA.KIND, "tbf"),
    ...nested(TCA.OPTIONS, tbfOptions(tbf)),
  ],
  what: `shape link ${name} to ${tbf.rate} bytes a second`,
});

/** Asks for a token bucket filter without its numbers: ENOENT where the kernel has none, else EINVAL. */
export const probeTbf = ({ index }: { index: number }): Message => ({
  type: RTM_NEWQDISC,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [header({ index, handle: SHAPER, parent: TC_H_ROOT }), ...text(TCA.KIND, "tbf")],
  what: "look for token bucket filters",
});

/** Lets filters look at what a link takes in; EEXIST where something (clsact too) does already. */
export const addIngress = ({ index, name }: Target): Message => ({
  type: RTM_NEWQDISC,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [header({ index, handle: INGRESS, parent: TC_H_INGRESS }), ...text(TCA.KIND, "ingress")],
  what: `add an ingress qdisc to link ${name}`,
});

/**
 * Sends all a link with an ingress qdisc takes in out of another one (`tc filter add dev X parent ffff: protocol all
 * prio 1 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev Y`).
 */
export function addRedirect({ index, name }: Target, to: Target): Message {
  // struct tc_u32_sel (16 bytes) with one struct tc_u32_key (16 bytes), which matches anything
  const selector = new Uint8Array(32);
  selector.set([TC_U32_TERMINAL, 0, 1]);
  // struct tc_mirred { u32 index, capab; int action, refcnt, bindcnt, eaction; u32 ifindex; }
  const mirred = new Uint8Array(28);
  const view = viewOf(mirred);
  view.setInt32(8, TC_ACT_STOLEN, true);
  view.setInt32(20, TCA_EGRESS_REDIR, true);
  view.setUint32(24, to.index, true);
  const action = nested(1, text(TCA_ACT.KIND, "mirred"), nested(TCA_ACT.OPTIONS, attribute(TCA_MIRRED_PARMS, mirred)));
  return {
    type: RTM_NEWTFILTER,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    data: [
      header({ index, parent: INGRESS, info: (1 << 16) | ETH_P_ALL }),
      ...text(TCA.KIND, "u32"),
      ...nested(
        TCA.OPTIONS,
        u32(TCA_U32.CLASSID, CLASS),
        attribute(TCA_U32.SEL, selector),
        nested(TCA_U32.ACT, action),
      ),
    ],
    what: `redirect what link ${name} takes in to link ${to.name}`,
  };
}

/** Removes the shaper `addTbf` put there; EINVAL or ENOENT where the root of the link is another one. */
export const deleteTbf = ({ index, name }: Target): Message => ({
  type: RTM_DELQDISC,
  flags: 0,
  data: [header({ index, handle: SHAPER, parent: TC_H_ROOT }), ...text(TCA.KIND, "tbf")],
  what: `remove the shaper of link ${name}`,
});

/** Removes the ingress qdisc with its filters; EINVAL or ENOENT where there is none. */
export const deleteIngress = ({ index, name }: Target): Message => ({
  type: RTM_DELQDISC,
  flags: 0,
  data: [header({ index, handle: INGRESS, parent: TC_H_INGRESS }), ...text(TCA.KIND, "ingress")],
  what: `remove the ingress qdisc of link ${name}`,
});

/** Asks for the qdisc at the root of a link; without NLM_F_ECHO only listeners are told. */
export const getRootQdisc = ({ index, name }: Target): Message => ({
  type: RTM_GETQDISC,
  flags: NLM_F.ECHO,
  data: [header({ index, parent: TC_H_ROOT })],
  what: `find the qdisc of link ${name}`,
});

/** Asks for what lets filters look at what a link takes in, `addIngress`'s or another. */
export const getIngressQdisc = ({ index, name }: Target): Message => ({
  type: RTM_GETQDISC,
  flags: NLM_F.ECHO,
  data: [header({ index, parent: TC_H_INGRESS })],
  what: `find the ingress qdisc of link ${name}`,
});

/** The kind of qdisc a reply to `getRootQdisc` tells of, such as "noqueue", a virtual link's own. */
export const decodeQdiscKind = ({ data }: Reply): string => decodeAttributes(data.subarray(20)).text(TCA.KIND);

/** The shaper a reply to `getRootQdisc` tells of; undefined where the root is another qdisc, or somebody else's. */
export function decodeTbf({ type, data }: Reply): Tbf | undefined {
  const attributes = decodeAttributes(data.subarray(20));
  const isOurs = viewOf(data).getUint32(8, true) === SHAPER && attributes.text(TCA.KIND) === "tbf";
  if (type !== RTM_NEWQDISC || !isOurs) return undefined;
  const options = attributes.nested(TCA.OPTIONS);
  const parms = options.get(TCA_TBF.PARMS);
  if (!parms) return undefined;
  const view = viewOf(parms);
  const rate64 = options.get(TCA_TBF.RATE64);
  return {
    rate: rate64 ? Number(viewOf(rate64).getBigUint64(0, true)) : view.getUint32(8, true),
    limit: view.getUint32(24, true),
    buffer: view.getUint32(28, true),
  };
}

/** Asks for the filters of what a link takes in (use with NetlinkSocket.dump). */
export const getIngressFilters = ({ index, name }: Target): Message => ({
  type: RTM_GETTFILTER,
  flags: 0,
  data: [header({ index, parent: INGRESS })],
  what: `list the ingress filters of link ${name}`,
});

/** Index of the link a u32 filter redirects to by its first action; undefined for any other. */
export function decodeRedirect({ type, data }: Reply): number | undefined {
  if (type !== RTM_NEWTFILTER) return undefined;
  const action = decodeAttributes(data.subarray(20)).nested(TCA.OPTIONS).nested(TCA_U32.ACT).nested(1);
  const mirred = action.nested(TCA_ACT.OPTIONS).get(TCA_MIRRED_PARMS);
  return action.text(TCA_ACT.KIND) === "mirred" && mirred ? viewOf(mirred).getUint32(24, true) : undefined;
}

import { macBytes, macFromBytes } from "../../net/mac.ts";
import { attribute, type Bytes, decodeAttributes, decodeText, type Message, nested, NLM_F, type Reply, text, u32, u8 } from "../netlink.ts";

/** linux/rtnetlink.h */
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
/** linux/if_link.h */
const IFLA = { ADDRESS: 1, IFNAME: 3, MTU: 4, LINK: 5, MASTER: 10, PROTINFO: 12, TXQLEN: 13, OPERSTATE: 16, LINKINFO: 18, IFALIAS: 20, AF_SPEC: 26, NET_NS_FD: 28, EXT_MASK: 29, PROMISCUITY: 30 } as const;
const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_DATA: 5 } as const;
const VETH_INFO_PEER = 1;
const IFLA_BR_VLAN_FILTERING = 7;
const IFLA_BRPORT = { MODE: 4, ISOLATED: 33 } as const;
const RTEXT_FILTER_SKIP_STATS = 8;
export const RTNLGRP_LINK = 1;
/** linux/if_bridge.h */
const IFLA_BRIDGE_VLAN_INFO = 2;
const BRIDGE_VLAN_INFO = { PVID: 2, UNTAGGED: 4, RANGE_BEGIN: 8, RANGE_END: 16 } as const;
const AF_BRIDGE = 7;
/** linux/if.h */
const IFF_UP = 0x1;
const IFF_PROMISC = 0x100;
const operStates = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];

/** A link as the kernel describes it; `peer` is IFLA_LINK (for a veth: the other end's index in its namespace). */
export interface Link {
  index: number;
  name: string;
  mac: string;
  mtu: number;
  up: boolean;
  /** how many asked for promiscuous mode */
  promiscuity: number;
  operState: string;
  alias: string;
  kind: string;
  peer?: number;
  master?: number;
  /** bridges only */
  vlanFiltering?: boolean;
  /** bridge ports only */
  hairpin?: boolean;
  isolated?: boolean;
}

/** struct ifinfomsg */
function header(options: { family?: number; index?: number; flags?: number; change?: number } = {}): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt8(options.family ?? 0, 0);
  bytes.writeInt32LE(options.index ?? 0, 4);
  bytes.writeUInt32LE(options.flags ?? 0, 8);
  bytes.writeUInt32LE(options.change ?? 0, 12);
  return bytes;
}

/** The link of a reply to RTM_GETLINK or of a link notification; undefined for another message. */
export function decodeLink(reply: Reply): Link | undefined {
  if (reply.type !== RTM_NEWLINK) return undefined;
  const attributes = decodeAttributes(reply.data.subarray(16));
  const number = (type: number): number | undefined => attributes.get(type)?.readUInt32LE(0);
  const word = (type: number): string => decodeText(attributes.get(type) ?? Buffer.alloc(1));
  const info = decodeAttributes(attributes.get(IFLA.LINKINFO) ?? Buffer.alloc(0));
  const kind = decodeText(info.get(IFLA_INFO.KIND) ?? Buffer.alloc(1));
  const data = decodeAttributes(info.get(IFLA_INFO.DATA) ?? Buffer.alloc(0));
  const port = decodeAttributes(info.get(IFLA_INFO.SLAVE_DATA) ?? Buffer.alloc(0));
  const peer = number(IFLA.LINK);
  const master = number(IFLA.MASTER);
  return {
    index: reply.data.readInt32LE(4),
    name: word(IFLA.IFNAME),
    mac: macFromBytes(attributes.get(IFLA.ADDRESS) ?? Buffer.alloc(0)),
    mtu: number(IFLA.MTU) ?? 0,
    up: (reply.data.readUInt32LE(8) & IFF_UP) !== 0,
    promiscuity: number(IFLA.PROMISCUITY) ?? 0,
    operState: operStates[attributes.get(IFLA.OPERSTATE)?.[0] ?? 0] ?? "unknown",
    alias: word(IFLA.IFALIAS),
    kind,
    ...(peer !== undefined && { peer }),
    ...(master !== undefined && { master }),
    ...(kind === "bridge" && { vlanFiltering: data.get(IFLA_BR_VLAN_FILTERING)?.[0] === 1 }),
    ...(port.has(IFLA_BRPORT.MODE) && { hairpin: port.get(IFLA_BRPORT.MODE)?.[0] === 1, isolated: port.get(IFLA_BRPORT.ISOLATED)?.[0] === 1 }),
  };
}

/** Asks for one link by its name. */
export const getLink = (name: string): Message => ({
  type: RTM_GETLINK,
  flags: 0,
  data: [header(), ...text(IFLA.IFNAME, name), ...u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)],
  what: `find link ${name}`,
});

/** Asks for all links of the namespace (use with NetlinkSocket.dump). */
export const getLinks = (): Message => ({ type: RTM_GETLINK, flags: 0, data: [header(), ...u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)], what: "list links" });

/** Makes a bridge, down; EEXIST when the name is taken. */
export const createBridge = (bridge: { name: string; mac: string; mtu?: number; vlanFiltering: boolean }): Message => ({
  type: RTM_NEWLINK,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [
    header(),
    ...text(IFLA.IFNAME, bridge.name),
    ...attribute(IFLA.ADDRESS, macBytes(bridge.mac)),
    ...(bridge.mtu ? u32(IFLA.MTU, bridge.mtu) : []),
    ...nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "bridge"), bridge.vlanFiltering ? nested(IFLA_INFO.DATA, u8(IFLA_BR_VLAN_FILTERING, 1)) : []),
  ],
  what: `create bridge ${bridge.name}`,
});

export interface NewVeth {
  host: { name: string; mac: string };
  pod: { name: string; mac: string };
  /** open file of the namespace the pod's end is made in; absent: this one */
  netns?: number;
  mtu?: number;
  /** index of the bridge the host end is plugged into */
  master?: number;
}

/** Makes both ends of a veth pair in one message: each with its name, MAC and MTU, in its namespace, down. */
export function createVeth({ host, pod, netns, mtu, master }: NewVeth): Message {
  const mtuOf: Bytes = mtu ? u32(IFLA.MTU, mtu) : [];
  const peer = [
    header(),
    ...text(IFLA.IFNAME, pod.name),
    ...attribute(IFLA.ADDRESS, macBytes(pod.mac)),
    ...mtuOf,
    ...(netns === undefined ? [] : u32(IFLA.NET_NS_FD, netns)),
  ];
  return {
    type: RTM_NEWLINK,
    flags: NLM_F.CREATE | NLM_F.EXCL,
    data: [
      header(),
      ...text(IFLA.IFNAME, host.name),
      ...attribute(IFLA.ADDRESS, macBytes(host.mac)),
      ...u32(IFLA.TXQLEN, 0),
      ...mtuOf,
      ...(master === undefined ? [] : u32(IFLA.MASTER, master)),
      ...nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "veth"), nested(IFLA_INFO.DATA, nested(VETH_INFO_PEER, peer))),
    ],
    what: `create the veth pair ${host.name} (host) and ${pod.name} (container)`,
  };
}

/** What to change of a link; what is absent stays. */
export interface LinkChange {
  up?: boolean;
  promisc?: boolean;
  mac?: string;
  mtu?: number;
}

/** Changes a link; `name` is for the error message. */
export function setLink({ index, name }: { index: number; name: string }, change: LinkChange): Message {
  const flags = (change.up ? IFF_UP : 0) | (change.promisc ? IFF_PROMISC : 0);
  const mask = (change.up === undefined ? 0 : IFF_UP) | (change.promisc === undefined ? 0 : IFF_PROMISC);
  const what = [change.up === undefined ? "" : change.up ? "up" : "down", change.promisc ? "promiscuous" : "", change.mac ?? "", change.mtu ?? ""];
  return {
    type: RTM_SETLINK,
    flags: 0,
    data: [header({ index, flags, change: mask }), ...(change.mac ? attribute(IFLA.ADDRESS, macBytes(change.mac)) : []), ...(change.mtu ? u32(IFLA.MTU, change.mtu) : [])],
    what: `set link ${name} ${what.filter(Boolean).join(" ")}`,
  };
}

/** Names what a link is for, for people who read `ip link`; RTM_NEWLINK does not take an alias, so this follows it in the same batch. */
export const setAlias = (name: string, alias: string): Message => ({
  type: RTM_SETLINK,
  flags: 0,
  data: [header(), ...text(IFLA.IFNAME, name), ...text(IFLA.IFALIAS, alias)],
  what: `set the alias of link ${name}`,
});

/** Removes a link by name; a veth takes its other end with it. ENODEV when it is not there. */
export const deleteLink = (name: string): Message => ({ type: RTM_DELLINK, flags: 0, data: [header(), ...text(IFLA.IFNAME, name)], what: `delete link ${name}` });

/** Sets hairpin mode and isolation of a bridge port, both always written (`bridge link set dev X hairpin on isolated off`). */
export const setBridgePort = (port: { index: number; name: string }, { hairpin, isolated }: { hairpin: boolean; isolated: boolean }): Message => ({
  type: RTM_SETLINK,
  flags: 0,
  data: [header({ family: AF_BRIDGE, index: port.index }), ...nested(IFLA.PROTINFO, u8(IFLA_BRPORT.MODE, Number(hairpin)), u8(IFLA_BRPORT.ISOLATED, Number(isolated)))],
  what: `set hairpin and isolation of bridge port ${port.name}`,
});

/** struct bridge_vlan_info { u16 flags; u16 vid; } */
function vlanInfo(vid: number, flags: number): Bytes {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(flags, 0);
  bytes.writeUInt16LE(vid, 2);
  return attribute(IFLA_BRIDGE_VLAN_INFO, bytes);
}

/** Adds one VLAN to a bridge port: tagged, or the untagged one (`bridge vlan add dev X vid N pvid untagged`). */
export const addPortVlan = (port: { index: number; name: string }, vid: number, untagged: boolean): Message => ({
  type: RTM_SETLINK,
  flags: 0,
  data: [header({ family: AF_BRIDGE, index: port.index }), ...nested(IFLA.AF_SPEC, vlanInfo(vid, untagged ? BRIDGE_VLAN_INFO.PVID | BRIDGE_VLAN_INFO.UNTAGGED : 0))],
  what: `add VLAN ${vid} to bridge port ${port.name}`,
});

/** Removes every VLAN from a bridge port (`bridge vlan del dev X vid 1-4094`); those it does not have are no error. */
export const clearPortVlans = (port: { index: number; name: string }): Message => ({
  type: RTM_DELLINK,
  flags: 0,
  data: [header({ family: AF_BRIDGE, index: port.index }), ...nested(IFLA.AF_SPEC, vlanInfo(1, BRIDGE_VLAN_INFO.RANGE_BEGIN), vlanInfo(4094, BRIDGE_VLAN_INFO.RANGE_END))],
  what: `remove the default VLANs of bridge port ${port.name}`,
});

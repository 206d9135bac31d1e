import { encodeUtf8, viewOf } from "../../net/bytes.ts";
import { macBytes, macFromBytes } from "../../net/mac.ts";
import { attribute, type Attributes, type Bytes, decodeAttributes, nested, NLM_F, text, u32, u8 } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { decodeDevice, type Device } from "./device.ts";
import { header, IFF_UP, IFLA, IFLA_INFO, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK } from "./ifinfo.ts";

const VETH_INFO_PEER = 1;
const IFLA_BR = { VLAN_FILTERING: 7, VLAN_DEFAULT_PVID: 39 } as const;
const IFLA_BRPORT = { MODE: 4, ISOLATED: 33 } as const;
const RTEXT_FILTER_SKIP_STATS = 8;
export const RTNLGRP_LINK = 1;
/** linux/if_bridge.h */
const AF_BRIDGE = 7;
/** linux/if.h */
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
  /** bridges only: the VLAN every new port is in, 0 for none */
  defaultVlan?: number;
  /** those `createDevice` makes */
  device?: Partial<Device>;
  /** bridge ports only */
  hairpin?: boolean;
  isolated?: boolean;
}

/** The index of the link such a reply tells of, without decoding the rest. */
export const indexOf = ({ data }: Reply): number => viewOf(data).getInt32(4, true);

/** The link of a reply to RTM_GETLINK or of a link notification; undefined for another message. */
export function decodeLink(reply: Reply): Link | undefined {
  if (reply.type !== RTM_NEWLINK) return undefined;
  const attributes = decodeAttributes(reply.data.subarray(16));
  const head = viewOf(reply.data);
  const info = attributes.nested(IFLA.LINKINFO);
  const kind = info.text(IFLA_INFO.KIND);
  const port = info.nested(IFLA_INFO.SLAVE_DATA);
  const peer = attributes.u32(IFLA.LINK);
  const master = attributes.u32(IFLA.MASTER);
  return {
    index: head.getInt32(4, true),
    name: attributes.text(IFLA.IFNAME),
    mac: macFromBytes(attributes.get(IFLA.ADDRESS) ?? new Uint8Array(0)),
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    up: (head.getUint32(8, true) & IFF_UP) !== 0,
    promiscuity: attributes.u32(IFLA.PROMISCUITY) ?? 0,
    operState: operStates[attributes.u8(IFLA.OPERSTATE) ?? 0] ?? "unknown",
    alias: attributes.text(IFLA.IFALIAS),
    kind,
    ...(peer !== undefined && { peer }),
    ...(master !== undefined && { master }),
    ...(kind === "bridge"
      ? decodeBridge(info.nested(IFLA_INFO.DATA))
      : kind !== "veth" && kind !== "" && decodeDevice(kind, info.nested(IFLA_INFO.DATA))),
    ...(port.has(IFLA_BRPORT.MODE) && {
      hairpin: port.u8(IFLA_BRPORT.MODE) === 1,
      isolated: port.u8(IFLA_BRPORT.ISOLATED) === 1,
    }),
  };
}

const decodeBridge = (data: Attributes): Pick<Link, "vlanFiltering" | "defaultVlan"> => ({
  vlanFiltering: data.u8(IFLA_BR.VLAN_FILTERING) === 1,
  defaultVlan: data.u16(IFLA_BR.VLAN_DEFAULT_PVID) ?? 0,
});

/** Asks for one link by its name. */
export const getLink = (name: string): Message => ({
  type: RTM_GETLINK,
  flags: 0,
  data: [header(), ...text(IFLA.IFNAME, name), ...u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)],
  what: `find link ${name}`,
});

/** As `getLink`, by the link's index. */
export const getLinkByIndex = (index: number): Message => ({
  type: RTM_GETLINK,
  flags: 0,
  data: [header({ index }), ...u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)],
  what: `find link ${index}`,
});

/**
 * Asks for all links of the namespace (use with NetlinkSocket.dump), or for those of a kind or a master: the kernel
 * passes over the others where it has that kind, or master.
 */
export const getLinks = ({ kind, master }: { kind?: string; master?: number } = {}): Message => ({
  type: RTM_GETLINK,
  flags: 0,
  data: [
    header(),
    ...u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS),
    ...(kind === undefined ? [] : nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, kind))),
    ...(master === undefined ? [] : u32(IFLA.MASTER, master)),
  ],
  what: "list links",
});

/** Has a bridge keep its ports' VLANs apart; which port is in which it knows all along. */
export const filterVlans = ({ index, name }: { index: number; name: string }): Message => ({
  type: RTM_NEWLINK,
  flags: 0,
  data: [
    header({ index }),
    ...nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, "bridge"), nested(IFLA_INFO.DATA, u8(IFLA_BR.VLAN_FILTERING, 1))),
  ],
  what: `set bridge ${name} to filter VLANs`,
});

/** Makes a bridge, down; EEXIST when the name is taken. */
export const createBridge = (bridge: { name: string; mac: string; mtu?: number; vlanFiltering: boolean }): Message => ({
  type: RTM_NEWLINK,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [
    header(),
    ...text(IFLA.IFNAME, bridge.name),
    ...attribute(IFLA.ADDRESS, macBytes(bridge.mac)),
    ...(bridge.mtu ? u32(IFLA.MTU, bridge.mtu) : []),
    ...nested(
      IFLA.LINKINFO,
      text(IFLA_INFO.KIND, "bridge"),
      bridge.vlanFiltering ? nested(IFLA_INFO.DATA, u8(IFLA_BR.VLAN_FILTERING, 1)) : [],
    ),
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
  /** index of what it becomes a port of */
  master?: number;
  /** length of its transmit queue, in packets */
  txQueue?: number;
}

/** Changes a link; `name` is for the error message. */
export function setLink({ index, name }: { index: number; name: string }, change: LinkChange): Message {
  const flags = (change.up ? IFF_UP : 0) | (change.promisc ? IFF_PROMISC : 0);
  const mask = (change.up === undefined ? 0 : IFF_UP) | (change.promisc === undefined ? 0 : IFF_PROMISC);
  const what = [
    change.up === undefined ? "" : change.up ? "up" : "down",
    change.promisc ? "promiscuous" : "",
    change.mac ? `MAC ${change.mac}` : "",
    change.mtu === undefined ? "" : `MTU ${change.mtu}`,
    change.txQueue === undefined ? "" : `queue ${change.txQueue}`,
    change.master === undefined ? "" : `master ${change.master}`,
  ];
  return {
    type: RTM_SETLINK,
    flags: 0,
    data: [
      header({ index, flags, change: mask }),
      ...(change.mac ? attribute(IFLA.ADDRESS, macBytes(change.mac)) : []),
      ...(change.mtu ? u32(IFLA.MTU, change.mtu) : []),
      ...(change.master === undefined ? [] : u32(IFLA.MASTER, change.master)),
      ...(change.txQueue === undefined ? [] : u32(IFLA.TXQLEN, change.txQueue)),
    ],
    what: `set link ${name} ${what.filter(Boolean).join(" ")}`,
  };
}

/**
 * Names what a link is for, for people who read `ip link`; RTM_NEWLINK does not take an alias, so this follows it in
 * the same batch.
 */
export const setAlias = (name: string, alias: string): Message => ({
  type: RTM_SETLINK,
  flags: 0,
  data: [header(), ...text(IFLA.IFNAME, name), ...text(IFLA.IFALIAS, alias)],
  what: `set the alias of link ${name}`,
});

/**
 * Moves a link into the namespace of an open file, where it is down and has that name and alias ("": none), all in one
 * step. EEXIST where the name is taken there: it may have been moved all the same.
 */
export const moveLink = (
  { index, name }: { index: number; name: string },
  to: { netns: number; name: string; alias: string },
): Message => ({
  type: RTM_SETLINK,
  flags: 0,
  data: [
    header({ index, change: IFF_UP }),
    ...u32(IFLA.NET_NS_FD, to.netns),
    ...text(IFLA.IFNAME, to.name),
    ...attribute(IFLA.IFALIAS, encodeUtf8(to.alias)),
  ],
  what: `move link ${name} to another namespace as ${to.name}`,
});

/**
 * Removes a link by name, or one that was found, whose name may be no text; a veth takes its other end with it. ENODEV
 * when it is not there.
 */
export const deleteLink = (link: string | Pick<Link, "index" | "name">): Message => {
  const isName = typeof link === "string";
  return {
    type: RTM_DELLINK,
    flags: 0,
    data: isName ? [header(), ...text(IFLA.IFNAME, link)] : [header({ index: link.index })],
    what: `delete link ${isName ? link : link.name}`,
  };
};

/**
 * Sets hairpin mode and isolation of a bridge port, both always written (`bridge link set dev X hairpin on isolated
 * off`).
 */
export const setBridgePort = (
  port: { index: number; name: string },
  { hairpin, isolated }: { hairpin: boolean; isolated: boolean },
): Message => ({
  type: RTM_SETLINK,
  flags: 0,
  data: [
    header({ family: AF_BRIDGE, index: port.index }),
    ...nested(IFLA.PROTINFO, u8(IFLA_BRPORT.MODE, Number(hairpin)), u8(IFLA_BRPORT.ISOLATED, Number(isolated))),
  ],
  what: `set hairpin and isolation of bridge port ${port.name}`,
});

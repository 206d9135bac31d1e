import { macBytes } from "../../net/mac.ts";
import { attribute, type Attributes, type Bytes, nested, NLM_F, text, u16, u32 } from "../codec.ts";
import type { Message } from "../message.ts";
import { header, IFF_UP, IFLA, IFLA_INFO, RTM_NEWLINK } from "./ifinfo.ts";

/** linux/if_link.h */
const IFLA_MACVLAN = { MODE: 1, BC_QUEUE_LEN: 7 } as const;
const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof macvlanModes;
const IFLA_IPVLAN_MODE = 1;
const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;
export type IpvlanMode = keyof typeof ipvlanModes;
const IFLA_VLAN_ID = 1;
const IFLA_VRF_TABLE = 1;
const IFLA_TUN = { OWNER: 1, GROUP: 2, TYPE: 3, MULTI_QUEUE: 7 } as const;
/** linux/if_tun.h */
const IFF_TAP = 2;

/** What sort of link is made of another one or of nothing, with what is its own, named as in configurations. */
export type Device =
  | { type: "macvlan"; mode: MacvlanMode; bcqueuelen?: number }
  | { type: "ipvlan"; mode: IpvlanMode }
  | { type: "vlan"; vlanId: number }
  | { type: "dummy" }
  | { type: "vrf"; table: number }
  | Tap;

/** Frames to and from a program; rtnetlink tells of it, but does not make it. */
export interface Tap {
  type: "tun";
  mode: "tap";
  multiQueue: boolean;
  /** uid and gid that may open it; absent: anybody who may make one */
  owner?: number;
  group?: number;
}
export type DeviceType = Device["type"];

export interface NewDevice {
  name: string;
  device: Exclude<Device, Tap>;
  /** absent: the kernel's choice, or the master's */
  mac?: string;
  /** absent: the master's, or the kernel's choice */
  mtu?: number;
  /** index of the link it is made of, in the socket's namespace */
  master?: number;
  /** open file of the namespace it is made in; absent: the socket's */
  netns?: number;
  /** true: it is up at once */
  up?: boolean;
}

function encodeDevice(device: NewDevice["device"]): Bytes {
  switch (device.type) {
    case "macvlan":
      return [
        ...u32(IFLA_MACVLAN.MODE, macvlanModes[device.mode]),
        ...(device.bcqueuelen ? u32(IFLA_MACVLAN.BC_QUEUE_LEN, device.bcqueuelen) : []),
      ];
    case "ipvlan":
      return u16(IFLA_IPVLAN_MODE, ipvlanModes[device.mode]);
    case "vlan":
      return u16(IFLA_VLAN_ID, device.vlanId);
    case "dummy":
      return [];
    case "vrf":
      return u32(IFLA_VRF_TABLE, device.table);
  }
}

/** The word a mode's number has. */
const nameOf = <N extends string>(names: Readonly<Record<N, number>>, value: number | undefined): N | undefined =>
  (Object.keys(names) as N[]).find((name) => names[name] === value);

/** What a link's IFLA_INFO_DATA says of it; nothing where it is of no kind that is made here. */
export function decodeDevice(kind: string, data: Attributes): { device?: Partial<Device> } {
  switch (kind) {
    case "macvlan": {
      const mode = nameOf(macvlanModes, data.u32(IFLA_MACVLAN.MODE));
      const bcqueuelen = data.u32(IFLA_MACVLAN.BC_QUEUE_LEN);
      return { device: { type: kind, ...(mode && { mode }), ...(bcqueuelen && { bcqueuelen }) } };
    }
    case "ipvlan": {
      const mode = nameOf(ipvlanModes, data.u16(IFLA_IPVLAN_MODE));
      return { device: { type: kind, ...(mode && { mode }) } };
    }
    case "vlan": {
      const vlanId = data.u16(IFLA_VLAN_ID);
      return { device: { type: kind, ...(vlanId !== undefined && { vlanId }) } };
    }
    case "dummy":
      return { device: { type: kind } };
    case "vrf": {
      const table = data.u32(IFLA_VRF_TABLE);
      return { device: { type: kind, ...(table !== undefined && { table }) } };
    }
    case "tun":
      return { device: decodeTun(data) };
    default:
      return {};
  }
}

function decodeTun(data: Attributes): Partial<Tap> {
  const owner = data.u32(IFLA_TUN.OWNER);
  const group = data.u32(IFLA_TUN.GROUP);
  return {
    type: "tun",
    ...(data.u8(IFLA_TUN.TYPE) === IFF_TAP && { mode: "tap" }),
    multiQueue: data.u8(IFLA_TUN.MULTI_QUEUE) === 1,
    ...(owner !== undefined && { owner }),
    ...(group !== undefined && { group }),
  };
}

/** Makes the link under its final name in its namespace, down unless `up`; EEXIST when that name is taken there. */
export const createDevice = ({ name, device, mac, mtu, master, netns, up }: NewDevice): Message => ({
  type: RTM_NEWLINK,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: [
    header(up ? { flags: IFF_UP, change: IFF_UP } : {}),
    ...text(IFLA.IFNAME, name),
    ...(mac ? attribute(IFLA.ADDRESS, macBytes(mac)) : []),
    ...(mtu ? u32(IFLA.MTU, mtu) : []),
    ...(master === undefined ? [] : u32(IFLA.LINK, master)),
    ...(netns === undefined ? [] : u32(IFLA.NET_NS_FD, netns)),
    ...nested(IFLA.LINKINFO, text(IFLA_INFO.KIND, device.type), nested(IFLA_INFO.DATA, encodeDevice(device))),
  ],
  what: `create ${device.type} ${name}`,
});

import { viewOf } from "../../net/bytes.ts";
import { attribute, type Bytes, decodeAttributes, decodeList, nested, NLM_F } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { header, IFLA, RTM_DELLINK, RTM_SETLINK } from "./ifinfo.ts";

/** linux/rtnetlink.h; Linux 5.6 */
const RTM_NEWVLAN = 112;
const RTM_GETVLAN = 114;
/** linux/if_bridge.h */
const AF_BRIDGE = 7;
const IFLA_BRIDGE_VLAN_INFO = 2;
export const BRIDGE_VLAN_INFO = { PVID: 2, UNTAGGED: 4, RANGE_BEGIN: 8, RANGE_END: 16 } as const;
const BRIDGE_VLANDB_ENTRY = { INFO: 1, RANGE: 2 } as const;
/** struct br_vlan_msg { u8 family; u8 reserved1; u16 reserved2; u32 ifindex; } */
const BR_VLAN_MSG = 8;

interface Port {
  index: number;
  name: string;
}

/** VLANs from one id to another, both included. */
export type VlanRange = [first: number, last: number];

/** Ids in ascending order as ranges. */
export function rangesOf(ids: readonly number[]): VlanRange[] {
  const ranges: VlanRange[] = [];
  for (const id of ids) {
    const last = ranges.at(-1);
    if (last && last[1] === id - 1) last[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}

/** struct bridge_vlan_info { u16 flags; u16 vid; } */
const vlanInfo = (vid: number, flags: number): Bytes =>
  attribute(IFLA_BRIDGE_VLAN_INFO, Uint8Array.of(flags, flags >> 8, vid, vid >> 8));

const rangeInfo = ([first, last]: VlanRange): Bytes =>
  first === last
    ? vlanInfo(first, 0)
    : [...vlanInfo(first, BRIDGE_VLAN_INFO.RANGE_BEGIN), ...vlanInfo(last, BRIDGE_VLAN_INFO.RANGE_END)];

/**
 * Adds VLANs to a bridge port, ids ascending: the tagged ones, then the untagged one (`bridge vlan add dev X vid N`,
 * with `pvid untagged` for the last).
 */
export const addPortVlans = (port: Port, { tagged, untagged }: { tagged: number[]; untagged: number }): Message => ({
  type: RTM_SETLINK,
  flags: 0,
  data: [
    header({ family: AF_BRIDGE, index: port.index }),
    ...nested(
      IFLA.AF_SPEC,
      rangesOf(tagged).flatMap(rangeInfo),
      vlanInfo(untagged, BRIDGE_VLAN_INFO.PVID | BRIDGE_VLAN_INFO.UNTAGGED),
    ),
  ],
  what: `add VLANs to bridge port ${port.name}`,
});

/** Removes every VLAN from a bridge port (`bridge vlan del dev X vid 1-4094`); those it does not have are no error. */
export const clearPortVlans = (port: Port): Message => ({
  type: RTM_DELLINK,
  flags: 0,
  data: [header({ family: AF_BRIDGE, index: port.index }), ...nested(IFLA.AF_SPEC, rangeInfo([1, 4094]))],
  what: `remove the default VLANs of bridge port ${port.name}`,
});

/** Asks for the VLANs of one bridge port (use with NetlinkSocket.dump). EOPNOTSUPP before Linux 5.6. */
export function getPortVlans({ index, name }: Port): Message {
  const data = new Uint8Array(BR_VLAN_MSG);
  data[0] = AF_BRIDGE;
  viewOf(data).setUint32(4, index, true);
  return { type: RTM_GETVLAN, flags: NLM_F.DUMP, data: [data], what: `list the VLANs of bridge port ${name}` };
}

/** The VLANs such a reply tells of: their ids, and what is said of each (BRIDGE_VLAN_INFO's PVID and UNTAGGED). */
export function decodePortVlans({ type, data }: Reply): [vid: number, flags: number][] {
  if (type !== RTM_NEWVLAN) return [];
  return decodeList(data.subarray(BR_VLAN_MSG)).flatMap((item) => {
    const entry = decodeAttributes(item);
    const info = entry.get(BRIDGE_VLANDB_ENTRY.INFO);
    if (!info) return [];
    const first = viewOf(info).getUint16(2, true);
    const last = entry.u16(BRIDGE_VLANDB_ENTRY.RANGE) ?? first;
    const flags = viewOf(info).getUint16(0, true) & (BRIDGE_VLAN_INFO.PVID | BRIDGE_VLAN_INFO.UNTAGGED);
    return Array.from({ length: last - first + 1 }, (_, at): [number, number] => [first + at, flags]);
  });
}

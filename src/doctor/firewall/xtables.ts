import { viewOf } from "../../net/bytes.ts";
import { kindNumbers, type Packet, stateBits } from "./packet.ts";

// Matches of iptables that nftables carries along as they are (linux/netfilter/x_tables.h): what they say of a packet.

/** Whether something matches; undefined for what cannot be told. */
export type Match = boolean | undefined;

const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/** What a match of that name, with its data, says of the packet. */
export function matches(name: string, data: Uint8Array, packet: Packet): Match {
  const match = known[name];
  return match && data.length >= match.bytes ? match.says(viewOf(data), packet) : undefined;
}

const inRange = (value: number | undefined, low: number, high: number): Match => {
  if (low === 0 && high === 0xffff) return true;
  return value === undefined ? undefined : value >= low && value <= high;
};

const both = (a: Match, b: Match): Match =>
  a === false || b === false ? false : a === undefined || b === undefined ? undefined : true;
const invert = (match: Match, yes: boolean): Match => (match === undefined || !yes ? match : !match);

const known: Record<string, { bytes: number; says(view: DataView, packet: Packet): Match }> = {
  comment: { bytes: 0, says: () => true },

  // struct xt_conntrack_mtinfo3: addresses, expiry and ports are of no use to rules one meets
  conntrack: {
    bytes: 154,
    says(view, { state, translated }) {
      const [flags, inverted] = [view.getUint16(146, true), view.getUint16(148, true)];
      if (flags !== 1 /* XT_CONNTRACK_STATE */) return undefined;
      const mask = view.getUint16(150, true);
      const isNat = translated === true && (mask & (1 << 7)) !== 0; /* XT_CONNTRACK_STATE_DNAT */
      return invert((mask & stateBits[state]) !== 0 || isNat, (inverted & 1) !== 0);
    },
  },

  // struct xt_mark_mtinfo1 { u32 mark, mask; u8 invert; }: nobody else marks what pods send before it is forwarded
  mark: {
    bytes: 9,
    says(view, { mark = 0 }) {
      const [wanted, mask] = [view.getUint32(0, true), view.getUint32(4, true)];
      return invert((mark & mask) >>> 0 === wanted, view.getUint8(8) !== 0);
    },
  },

  // struct xt_addrtype_info_v1 { u16 source, dest; u32 flags; }
  addrtype: {
    bytes: 8,
    says(view, { destinationKind }) {
      const [source, destination, flags] = [view.getUint16(0, true), view.getUint16(2, true), view.getUint32(4, true)];
      if (source !== 0 || (flags & ~2) !== 0) return undefined;
      return invert((destination & (1 << kindNumbers[destinationKind])) !== 0, (flags & 2) !== 0);
    },
  },

  // struct xt_tcp { u16 spts[2], dpts[2]; u8 option, flg_mask, flg_cmp, invflags; }
  tcp: {
    bytes: 12,
    says(view, { protocol, destinationPort }) {
      if (protocol !== IPPROTO_TCP) return false;
      if (view.getUint8(8) !== 0 || view.getUint8(9) !== 0) return undefined;
      return ports(view, view.getUint8(11), destinationPort);
    },
  },

  // struct xt_udp { u16 spts[2], dpts[2]; u8 invflags; }
  udp: {
    bytes: 9,
    says: (view, { protocol, destinationPort }) =>
      protocol === IPPROTO_UDP ? ports(view, view.getUint8(8), destinationPort) : false,
  },
};

const ports = (view: DataView, inverted: number, port: number | undefined): Match =>
  both(
    invert(inRange(undefined, view.getUint16(0, true), view.getUint16(2, true)), (inverted & 1) !== 0),
    invert(inRange(port, view.getUint16(4, true), view.getUint16(6, true)), (inverted & 2) !== 0),
  );

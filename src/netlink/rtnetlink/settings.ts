import { viewOf } from "../../net/bytes.ts";
import { macBytes, macFromBytes } from "../../net/mac.ts";
import { attribute, type Bytes, decodeAttributes, u32 } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { header, IFLA, RTM_SETLINK } from "./ifinfo.ts";

/** linux/if.h */
const IFF_PROMISC = 0x100;
const IFF_ALLMULTI = 0x200;

/** What a link is set to, named as in configurations: `promisc` and `allmulti` as somebody asked for them. */
export interface LinkSettings {
  mac: string;
  mtu: number;
  promisc: boolean;
  allmulti: boolean;
  /** length of the transmit queue, in packets */
  txQLen: number;
}

/** The settings of a reply to RTM_GETLINK. */
export function decodeSettings({ data }: Reply): LinkSettings {
  const attributes = decodeAttributes(data.subarray(16));
  const flags = viewOf(data).getUint32(8, true);
  return {
    mac: macFromBytes(attributes.get(IFLA.ADDRESS) ?? new Uint8Array(0)),
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    promisc: (flags & IFF_PROMISC) !== 0,
    allmulti: (flags & IFF_ALLMULTI) !== 0,
    txQLen: attributes.u32(IFLA.TXQLEN) ?? 0,
  };
}

type Encoded = { flags?: number; change?: number; data?: Bytes };

const encoders: { [K in keyof LinkSettings]: (value: LinkSettings[K]) => Encoded } = {
  mtu: (mtu) => ({ data: u32(IFLA.MTU, mtu) }),
  mac: (mac) => ({ data: attribute(IFLA.ADDRESS, macBytes(mac)) }),
  promisc: (isOn) => ({ flags: isOn ? IFF_PROMISC : 0, change: IFF_PROMISC }),
  allmulti: (isOn) => ({ flags: isOn ? IFF_ALLMULTI : 0, change: IFF_ALLMULTI }),
  txQLen: (length) => ({ data: u32(IFLA.TXQLEN, length) }),
};

/** Changes a link, each setting by a message of its own: what the kernel refuses of them keeps no other back. */
export const changeSettings = (
  { index, name }: { index: number; name: string },
  settings: Partial<LinkSettings>,
): Message[] =>
  (Object.keys(settings) as (keyof LinkSettings)[]).map((key) => {
    const { flags = 0, change = 0, data = [] } = encoders[key](settings[key] as never);
    return {
      type: RTM_SETLINK,
      flags: 0,
      data: [header({ index, flags, change }), ...data],
      what: `set ${key} of link ${name} to ${settings[key]}`,
    };
  });

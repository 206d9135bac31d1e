import type { Message } from "../../netlink/message.ts";
import { addPortVlan, clearPortVlans, type Link, setBridgePort } from "../../netlink/rtnetlink/link.ts";
import type { BridgePort, PortVlans } from "../attachment.ts";

/** What plugs a link into the bridge as the configuration asks, after IFLA_MASTER: hairpin, isolation, VLANs. */
export const plugMessages = (link: Link, port: BridgePort): Message[] => [
  setBridgePort(link, port),
  ...(port.vlans ? vlanMessages(link, port.vlans) : []),
];

/** Byte-compared in tests: kernels without bridge VLAN filtering cannot show their effect. */
export const vlanMessages = (link: { index: number; name: string }, vlans: PortVlans): Message[] => [
  ...(vlans.dropDefault ? [clearPortVlans(link)] : []),
  ...vlans.tagged.map((vid) => addPortVlan(link, vid, false)),
  ...(vlans.untagged === undefined ? [] : [addPortVlan(link, vlans.untagged, true)]),
];

/** How a port differs from what is wanted, in words. */
export function comparePort(port: Link, wanted: BridgePort & { bridge: string }, bridge: Link | undefined): string[] {
  if (!bridge || bridge.kind !== "bridge") return []; // which is said of the bridge
  const unplugged = port.master === bridge.index ? [] : [`link ${port.name} is not a port of bridge ${wanted.bridge}`];
  if (port.hairpin === undefined) return unplugged;
  return [
    ...unplugged,
    ...(port.hairpin === wanted.hairpin
      ? []
      : [`hairpin mode of bridge port ${port.name} is ${port.hairpin ? "on" : "off"}`]),
    ...(port.isolated === wanted.isolated
      ? []
      : [`isolation of bridge port ${port.name} is ${port.isolated ? "on" : "off"}`]),
  ];
}

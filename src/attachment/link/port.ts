import type { Message } from "../../netlink/message.ts";
import { type Link, setBridgePort } from "../../netlink/rtnetlink/link.ts";
import { addPortVlans, clearPortVlans } from "../../netlink/rtnetlink/port-vlan.ts";
import type { BridgePort } from "../attachment.ts";

/** What plugs a link into the bridge as the configuration asks, after IFLA_MASTER: hairpin, isolation, VLANs. */
export const plugMessages = (link: Link, port: BridgePort): Message[] => [
  setBridgePort(link, port),
  ...(port.vlans?.dropDefault ? [clearPortVlans(link)] : []),
  ...(port.vlans ? [addPortVlans(link, port.vlans)] : []),
];

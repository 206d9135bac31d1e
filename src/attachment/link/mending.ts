import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { type Link, type LinkChange, setLink } from "../../netlink/rtnetlink/link.ts";
import type { BridgePort } from "../attachment.ts";
import type { Step } from "../kind.ts";
import type { Site } from "../site.ts";
import { stepOf } from "../step.ts";
import { comparePort } from "./compare-port.ts";
import { findLink } from "./links.ts";
import type { Wanted } from "./own-link.ts";
import { plugMessages } from "./port.ts";

/** What gives a link the MAC and MTU that are wanted. */
export function mendLink(socket: NetlinkSocket, link: Link, { mac, mtu }: Wanted, where = ""): Step[] {
  const change: LinkChange = {
    ...(mac && link.mac !== mac && { mac }),
    ...(mtu && link.mtu !== mtu && { mtu }),
  };
  return Object.keys(change).length > 0 ? [stepOf(socket, setLink(link, change), where)] : [];
}

/** What plugs a port in again, or sets how it is plugged in; the bridge may be one that is made before that. */
export function mendPort(site: Site, port: Link, wanted: BridgePort & { bridge: string }): Step[] {
  const { host } = site;
  const bridge = site.seenLink(wanted.bridge);
  if (port.master === undefined || port.master !== bridge?.index) {
    const plug = (): void => {
      const { index: master } = findLink(host, wanted.bridge)!;
      host.request([setLink(port, { master }), ...plugMessages(port, wanted)]);
    };
    return [{ what: `plug ${port.name} into bridge ${wanted.bridge}`, run: plug }];
  }
  const set = (): void => void host.request(plugMessages(port, wanted));
  return comparePort(port, wanted, site).length > 0
    ? [{ what: `set hairpin, isolation and VLANs of bridge port ${port.name}`, run: set }]
    : [];
}

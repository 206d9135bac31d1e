import { CniError, Code } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { defaultPrefix, families } from "../../net/ip.ts";
import { decodeLink, getLinkByIndex, type Link } from "../../netlink/rtnetlink/link.ts";
import { decodeRoutes, getRoutes, mentionOf, RT_TABLE_MAIN } from "../../netlink/rtnetlink/route.ts";
import type { Master } from "../attachment.ts";
import type { Site } from "../site.ts";
import { findLink } from "./links.ts";

/** The link that is meant, and the socket of its namespace; CniError 7 where there is none. */
export function getMaster(master: Master, site: Site): { link: Link; socket: NetlinkSocket } {
  const socket = master.inPod ? site.pod.socket : site.host;
  const where = master.inPod ? "in the container" : "on the host";
  const link = master.name === undefined ? findDefaultLink(socket) : findLink(socket, master.name);
  if (link) return { link, socket };
  throw new CniError(
    Code.InvalidConfig,
    master.name === undefined
      ? `master is not set, and there is no default route ${where} whose link it could be`
      : `master: link ${JSON.stringify(master.name)} does not exist ${where}`,
  );
}

/** The link of the first default route in the main table, IPv4 before IPv6. */
function findDefaultLink(socket: NetlinkSocket): Link | undefined {
  for (const family of families) {
    const replies = socket.dump(getRoutes(family), [mentionOf({ dst: defaultPrefix(family) })]);
    const route = replies
      .flatMap(decodeRoutes)
      .find(({ dst, table, index }) => dst.length === 0 && table === RT_TABLE_MAIN && index !== undefined);
    const reply = route && socket.find(getLinkByIndex(route.index!));
    const link = reply && decodeLink(reply);
    if (link) return link;
  }
  return undefined;
}

import { listLinks } from "../attachment/link/links.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { decodeAddress, getAddresses, type Address } from "../netlink/rtnetlink/address.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import type { Survey } from "../survey/survey.ts";

/** What every layer looks at: the node as it is, read once. */
export interface Look {
  survey: Survey;
  host: NetlinkSocket;
  links: readonly Link[];
  addresses: readonly Address[];
  binDirs: readonly string[];
  /** one pod was asked for: there is time to ask its gateway */
  isThorough: boolean;
}

/** Reads it; the caller closes `host`. */
export function takeLook(survey: Survey, options: Pick<Look, "binDirs" | "isThorough">): Look {
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  return { survey, host, links: listLinks(host), addresses: readAddresses(host), ...options };
}

/** Every address of a namespace with its flags. */
export const readAddresses = (socket: NetlinkSocket): Address[] =>
  socket.dump(getAddresses(0)).flatMap((reply) => decodeAddress(reply) ?? []);

export const linkNamed = ({ links }: Pick<Look, "links">, name: string | undefined): Link | undefined =>
  links.find((link) => link.name === name);

export const linkAt = ({ links }: Pick<Look, "links">, index: number | undefined): Link | undefined =>
  links.find((link) => link.index === index);

import { HostView } from "../attachment/host-view.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import type { Ip } from "../net/ip.ts";
import type { Address } from "../netlink/rtnetlink/address.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import type { Survey } from "../survey/survey.ts";
import type { FoundLease, Surveyed } from "../survey/surveyed.ts";

/** What every layer looks at: the node as it is, read once, by what it is asked for. */
export interface Look {
  survey: Survey;
  host: NetlinkSocket;
  view: HostView;
  /** by index */
  links: ReadonlyMap<number, Link>;
  addresses: readonly Address[];
  /** by `ipKey`: addresses of the host, attachments that live, leases */
  holders: ReadonlyMap<string, Address>;
  owners: ReadonlyMap<string, readonly Surveyed[]>;
  leases: ReadonlyMap<string, readonly FoundLease[]>;
  binDirs: readonly string[];
  /** one pod was asked for: there is time to ask its gateway */
  isThorough: boolean;
  /** pods whose gateways were asked once more */
  retried: { count: number };
}

export const ipKey = ({ family, value }: Ip): string => `${family} ${value}`;

/** Reads it; the caller closes `host`. */
export function takeLook(survey: Survey, options: Pick<Look, "binDirs" | "isThorough">): Look {
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const view = new HostView(host);
  const { addresses } = view;
  const owners = new Map<string, Surveyed[]>();
  for (const attached of survey.attachments.filter(({ state }) => state === "live")) {
    for (const ip of attached.addresses) push(owners, ipKey(ip), attached);
  }
  const leases = new Map<string, FoundLease[]>();
  for (const lease of survey.leases) push(leases, ipKey(lease.ip), lease);
  return {
    survey,
    host,
    view,
    links: new Map(view.links.map((link) => [link.index, link])),
    addresses,
    holders: new Map(addresses.map((address) => [ipKey(address.prefix.ip), address])),
    owners,
    leases,
    retried: { count: 0 },
    ...options,
  };
}

function push<T>(groups: Map<string, T[]>, key: string, item: T): void {
  const group = groups.get(key);
  if (group) group.push(item);
  else groups.set(key, [item]);
}

/** By its name now; `linkAt` by its index, as the links were listed at first. */
export const linkNamed = ({ view }: Pick<Look, "view">, name: string | undefined): Link | undefined =>
  name === undefined ? undefined : view.link(name);

/** What leads to a pod on the host: the bridge the host's end of its link is plugged into, else that end. */
export function linkTowards(look: Pick<Look, "view" | "links">, hostLink: Link | undefined): Link | undefined {
  const host = linkNamed(look, hostLink?.name);
  return linkAt(look, host?.master) ?? host;
}

export const linkAt = ({ links }: Pick<Look, "links">, index: number | undefined): Link | undefined =>
  index === undefined ? undefined : links.get(index);

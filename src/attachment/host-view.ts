import type { NetlinkSocket } from "../kernel/netlink.ts";
import { families, type Prefix } from "../net/ip.ts";
import type { Address } from "../netlink/rtnetlink/address.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import { decodeRoutes, getRoutes, type KernelRoute } from "../netlink/rtnetlink/route.ts";
import type { ChainRules } from "./firewall/chain-rules.ts";
import { listLinkAddresses, listLinks } from "./link/links.ts";

/** The host's links, addresses, routes and tables of iptables, each read once: for who looks at many attachments. */
export class HostView {
  private read: { links?: Link[]; addresses?: Address[]; routes?: KernelRoute[] } = {};
  /** tables of iptables, whole, by what `seenTable` calls them */
  readonly tables = new Map<string, ChainRules>();
  private byName: Map<string, Link> | undefined;
  private byIndex: Map<number, Prefix[]> | undefined;
  private byDestination: Map<string, KernelRoute[]> | undefined;

  constructor(readonly socket: NetlinkSocket) {}

  get links(): readonly Link[] {
    return (this.read.links ??= listLinks(this.socket));
  }

  get addresses(): readonly Address[] {
    return (this.read.addresses ??= listLinkAddresses(this.socket));
  }

  /** Of all tables. */
  get routes(): readonly KernelRoute[] {
    return (this.read.routes ??= families.flatMap((family) =>
      this.socket.dump(getRoutes(family)).flatMap(decodeRoutes),
    ));
  }

  link(name: string): Link | undefined {
    return (this.byName ??= new Map(this.links.map((link) => [link.name, link]))).get(name);
  }

  addressesOf({ index }: Pick<Link, "index">): Prefix[] {
    this.byIndex ??= grouped(
      this.addresses,
      (address) => address.index,
      ({ prefix }) => prefix,
    );
    return this.byIndex.get(index) ?? [];
  }

  routesTo(dst: Prefix): KernelRoute[] {
    this.byDestination ??= grouped(
      this.routes,
      (route) => prefixKey(route.dst),
      (route) => route,
    );
    return this.byDestination.get(prefixKey(dst)) ?? [];
  }
}

const prefixKey = ({ ip, length }: Prefix): string => `${ip.family} ${ip.value} ${length}`;

function grouped<T, K, V>(items: readonly T[], keyOf: (item: T) => K, valueOf: (item: T) => V): Map<K, V[]> {
  const groups = new Map<K, V[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(valueOf(item));
    else groups.set(key, [valueOf(item)]);
  }
  return groups;
}

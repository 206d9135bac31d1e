import type { NetlinkSocket } from "../kernel/netlink.ts";
import { families, type Prefix } from "../net/ip.ts";
import { decodeAddress, getAddresses } from "../netlink/rtnetlink/address.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import { decodeRoutes, getRoutes, type KernelRoute } from "../netlink/rtnetlink/route.ts";
import { listLinks } from "./link/links.ts";

/** The host's links, addresses and routes, each read once: for who looks at all attachments of a node in turn. */
export class HostView {
  private links: Map<string, Link> | undefined;
  private addresses: Map<number, Prefix[]> | undefined;
  private routes: Map<string, KernelRoute[]> | undefined;

  constructor(readonly socket: NetlinkSocket) {}

  link(name: string): Link | undefined {
    return (this.links ??= new Map(listLinks(this.socket).map((link) => [link.name, link]))).get(name);
  }

  addressesOf({ index }: Pick<Link, "index">): Prefix[] {
    this.addresses ??= grouped(
      this.socket.dump(getAddresses(0)).flatMap((reply) => decodeAddress(reply) ?? []),
      (address) => address.index,
      ({ prefix }) => prefix,
    );
    return this.addresses.get(index) ?? [];
  }

  routesTo(dst: Prefix): KernelRoute[] {
    this.routes ??= grouped(
      families.flatMap((family) => this.socket.dump(getRoutes(family)).flatMap(decodeRoutes)),
      (route) => prefixKey(route.dst),
      (route) => route,
    );
    return this.routes.get(prefixKey(dst)) ?? [];
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

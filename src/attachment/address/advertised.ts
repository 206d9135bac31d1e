import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { findSysctl } from "../../kernel/sysctl.ts";
import { decodeLink, getLinkByIndex } from "../../netlink/rtnetlink/link.ts";
import { decodeRoutes, getRoutes } from "../../netlink/rtnetlink/route.ts";

/** A link of the host with a route or an address that a router advertised; or even the default route. */
export interface AdvertisedLink {
  name: string;
  hasDefault: boolean;
}

/**
 * Those that lose what routers advertise when it expires, where the node forwards: accept_ra is 1 there, and 2 would
 * keep it (Documentation/networking/ip-sysctl.rst).
 */
export function findLosingLinks(host: NetlinkSocket): AdvertisedLink[] {
  const advertised = host
    .dump(getRoutes(6))
    .flatMap(decodeRoutes)
    .filter(({ isAdvertised }) => isAdvertised);
  return [...new Set(advertised.map(({ index }) => index))].flatMap((index) => {
    const reply = index === undefined ? undefined : host.find(getLinkByIndex(index));
    const name = reply && decodeLink(reply)?.name;
    if (name === undefined || findSysctl(`net/ipv6/conf/${name}/accept_ra`) !== "1") return [];
    return [{ name, hasDefault: advertised.some((route) => route.index === index && route.dst.length === 0) }];
  });
}

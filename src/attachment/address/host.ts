import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { findSysctl } from "../../kernel/sysctl.ts";
import { isErrno } from "../../kernel/system-error.ts";
import { type Family, type Prefix, samePrefix } from "../../net/ip.ts";
import { addAddress } from "../../netlink/rtnetlink/address.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { addRoute, claimRoute, decodeRoutes, getRoutes, type KernelRoute } from "../../netlink/rtnetlink/route.ts";
import type { HostPart, Route } from "../attachment.ts";
import type { Kind, Step } from "../kind.ts";
import type { Site } from "../site.ts";
import { stepOf } from "../step.ts";
import { requireSysctl } from "../sysctls.ts";
import { hostSide, waitForDelivery } from "../link/readiness.ts";
import { findLosingLinks } from "./advertised.ts";
import { assertUnclaimed, routeTaken } from "./claims.ts";
import { addHostAddresses } from "./host-addresses.ts";
import { lackingAddresses, lackingRoutes, missingAddresses, missingInView, missingRoutes } from "./missing.ts";

/** The host's side of the pod's addresses. It goes with the link, but for forwarding, which stays on. */
export const host: Kind<HostPart> = {
  apply({ addresses, routes, forwarding }, site, { made, holderOf }) {
    const link = made.veth!;
    const ips = [...addresses.map(({ prefix }) => prefix.ip), ...routes.map(({ dst }) => dst.ip)];
    assertUnclaimed(ips, link, site.host, holderOf);
    addHostAddresses(site.host, link, addresses);
    claimRoutes(routes, link, site.host);
    for (const family of forwarding) ensureForwarding(family, site);
  },

  settle({ addresses }, site) {
    waitForDelivery(
      hostSide(site),
      addresses.map(({ prefix }) => prefix.ip),
    );
  },

  mend({ addresses, routes, forwarding }, site) {
    const link = site.hostLink === undefined ? undefined : site.seenLink(site.hostLink);
    return [
      ...forwarding
        .filter((family) => findSysctl(forwardingSysctl[family]) !== "1")
        .map((family) => ({
          what: `switch on forwarding of IPv${family}`,
          isShared: true,
          run: () => ensureForwarding(family, site),
        })),
      ...(link ? mendHostLink(link, { addresses, routes }, site.host) : []),
    ];
  },

  compare({ addresses, routes, forwarding }, site, foreign) {
    const link = site.hostLink === undefined ? undefined : site.seenLink(site.hostLink);
    const prefixes = addresses.map(({ prefix }) => prefix);
    return [
      ...(foreign ? [] : compareForwarding(forwarding)),
      ...(link ? compareLink(site, link, prefixes, routes) : []),
    ];
  },
};

const mendHostLink = (link: Link, part: Pick<HostPart, "addresses" | "routes">, host: NetlinkSocket): Step[] => [
  ...lackingAddresses(host, link, part.addresses).map(({ prefix, ...options }) =>
    stepOf(host, addAddress(link, prefix, options)),
  ),
  ...lackingRoutes(host, link, part.routes).map((route) => ({
    what: addRoute(link, route).what,
    run: () => {
      assertUnclaimed([route.dst.ip], link, host, undefined);
      claimRoutes([route], link, host);
    },
  })),
];
const compareLink = ({ view, host: socket }: Site, link: Link, prefixes: Prefix[], routes: Route[]): string[] =>
  view
    ? missingInView(view, link, prefixes, routes)
    : [...missingAddresses(socket, link, prefixes), ...missingRoutes(socket, link, routes)];

/**
 * A route to a pod's address that leads elsewhere is another pod's, or an administrator's: it is not taken over. The
 * kernel refuses a second one of the same metric; of two others one would never be used.
 */
function claimRoutes(routes: readonly Route[], link: Link, host: NetlinkSocket): void {
  try {
    host.request(routes.map((route) => claimRoute(link, route)));
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    // one that leads nowhere, or by a link that is down, is not looked up as packets look for theirs
    const present = host.dump(getRoutes(routes[0]!.dst.ip.family)).flatMap(decodeRoutes);
    const isOther = ({ dst, index }: KernelRoute): boolean =>
      index !== link.index && routes.some((own) => samePrefix(own.dst, dst));
    throw routeTaken(present.find(isOther) ?? routes[0]!, host, error);
  }
}

/** Documentation/networking/ip-sysctl.rst */
const forwardingSysctl = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;

/**
 * A node that forwards ignores router advertisements unless accept_ra is 2: a link through which a router gave the
 * node a route or an address is told so first, or the node would lose it when it expires.
 */
function ensureForwarding(family: Family, { host, log }: Site): void {
  const path = forwardingSysctl[family];
  if (findSysctl(path) === "1") return;
  if (family === 6) {
    for (const { name } of findLosingLinks(host)) {
      requireSysctl(`net/ipv6/conf/${name}/accept_ra`, "2");
      log.warn(`accept_ra of ${name} is 2 from now on: it keeps what routers advertise while the node forwards`);
    }
  }
  requireSysctl(path, "1");
}

const compareForwarding = (families: HostPart["forwarding"]): string[] =>
  families
    .filter((family) => findSysctl(forwardingSysctl[family]) !== "1")
    .map(
      (family) => `${forwardingSysctl[family].replaceAll("/", ".")} is not 1: the host does not forward IPv${family}`,
    );

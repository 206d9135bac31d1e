import { CniError, Code } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import type { Message } from "../../netlink/message.ts";
import { addAddress } from "../../netlink/rtnetlink/address.ts";
import { decodeLink, getLinkByIndex, type Link, setLink } from "../../netlink/rtnetlink/link.ts";
import { deleteNeighbour, setNeighbour } from "../../netlink/rtnetlink/neighbour.ts";
import { addRoute } from "../../netlink/rtnetlink/route.ts";
import type { Made, PodPart, Route } from "../attachment.ts";
import type { Kind, Step } from "../kind.ts";
import { podSide, waitForAddresses, waitForDelivery, waitForLink } from "../link/readiness.ts";
import type { Site } from "../site.ts";
import { IN_POD, stepOf } from "../step.ts";
import { applySysctls, mendSysctls } from "../sysctls.ts";
import { addOnce } from "./add-once.ts";
import {
  connectedRoutes,
  lackingAddresses,
  lackingInPod,
  lackingNeighbours,
  missingAddresses,
  missingInPod,
  routeFamilies,
  sourceTables,
} from "./missing.ts";

/** What the pod's end of the link carries: addresses, routes, neighbours, sysctls. It goes with the link. */
export const pod: Kind<PodPart> = {
  apply: (part, site, { made }) => made.pod && configure(part, site, made.pod), // a program's device has no link

  settle(part, site, made) {
    if (!part.up || !made.pod?.hasCarrier) return;
    const ips = part.addresses.map(({ prefix }) => prefix.ip);
    if (made.pod!.isWatched && ips.some(({ family }) => family === 6)) waitForLink(podSide(site), part.link.name);
    waitForDelivery(podSide(site), ips);
    if (made.bridge && ips.length > 0) announce(part, site, made);
  },

  mend(part, site) {
    const { pod, log } = site;
    const found = site.seenPodLink(part.link.name);
    if (!found) return [];
    const inPod = (message: Message): Step => stepOf(pod.socket, message, IN_POD);
    const addresses = lackingAddresses(pod.socket, found, part.addresses);
    const main = vrfTable(found, site);
    // the kernel makes those of addresses that come, and when the link comes up
    const connected = found.up ? connectedRoutes(part.addresses.filter((each) => !addresses.includes(each))) : [];
    const lacking = lackingInPod(pod.socket, found, [...connected, ...part.routes], main);
    const moved = new Map(routeFamilies(lacking).map((family) => [family, sourceTables(pod.socket, found, family)[0]]));
    return [
      ...mendSysctls(part.sysctls, log, (use) => pod.enter(use)),
      ...addresses.map(({ prefix, ...options }) => inPod(addAddress(found, prefix, options))),
      ...(part.up && !found.up ? [inPod(setLink(found, { up: true }))] : []),
      ...lackingNeighbours(pod.socket, found, part.neighbours).map(({ ip, mac }) =>
        inPod(setNeighbour(found, ip, mac)),
      ),
      ...lacking.map((route) => {
        const table = main ?? moved.get(route.dst.ip.family);
        const message = addRoute(found, { ...(table !== undefined && { table }), ...route });
        return { what: message.what + IN_POD, run: () => addOnce(pod.socket, [], [message]) };
      }),
    ];
  },

  compare({ link, up, addresses, routes }, site, foreign) {
    const { socket } = site.pod;
    const found = site.seenPodLink(link.name);
    if (!found) return []; // which is said of the link
    const prefixes = addresses.map(({ prefix }) => prefix);
    return [
      ...(up && !found.up ? [`link ${link.name} in the container is down`] : []),
      ...missingAddresses(socket, found, prefixes),
      ...missingInPod(socket, found, foreign ? routes.map(withoutMetrics) : routes, vrfTable(found, site)),
    ];
  },
};

/** Where a plugin further down the chain made the link a member of a VRF, its routes are in that one's table. */
function vrfTable({ master }: Link, { pod: { socket } }: Site): number | undefined {
  const reply = master === undefined ? undefined : socket.find(getLinkByIndex(master));
  const device = reply && decodeLink(reply)?.device;
  return device?.type === "vrf" ? device.table : undefined;
}

/** The reference reports a route's mtu and advmss but does not install them. */
const withoutMetrics = ({ mtu: _mtu, advmss: _advmss, ...route }: Route): Route => route;

function configure(wanted: PodPart, { pod, log }: Site, link: { index: number; name: string }): void {
  pod.enter(() => applySysctls(wanted.sysctls, log));
  const addresses = [
    ...wanted.addresses.map(({ prefix, ...options }) => addAddress(link, prefix, options)),
    ...(wanted.up ? [setLink(link, { up: true })] : []),
  ];
  const neighbours = wanted.neighbours.map(({ ip, mac }) => setNeighbour(link, ip, mac));
  const routes = wanted.routes.map((route) => addRoute(link, route));
  const add = (before: readonly Message[]): void => {
    try {
      addOnce(pod.socket, before, routes);
    } catch (error) {
      throw explained(error, link) ?? error;
    }
  };
  if (!wanted.addresses.some(({ dad }) => dad)) return add([...addresses, ...neighbours]);
  pod.socket.request(addresses);
  waitForAddresses(pod, link); // a route's source must not be an address that may turn out to be taken
  add(neighbours);
}

/** What the kernel's refusal is to the person who wrote the configuration: the kernel knows routes and no keys. */
function explained(error: unknown, link: { name: string }): CniError | undefined {
  const isUnreachable = isErrno(error, "ENETUNREACH", "EHOSTUNREACH");
  if (!isUnreachable && !isErrno(error, "EADDRINUSE")) return undefined;
  const why = isUnreachable
    ? "ipam.routes: nothing leads to the gateway"
    : `mac: link ${link.name} has the MAC of another link of its master`;
  return new CniError(Code.InvalidConfig, `${why}: ${(error as Error).message}`);
}

/** Tells neighbours who has the addresses now. */
function announce({ link, addresses }: PodPart, { host, pod }: Site, made: Made): void {
  const holder = made.vlanInterface ?? made.bridge!;
  for (const { prefix } of addresses) {
    try {
      host.request([deleteNeighbour(holder, prefix.ip)]);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  // With arp_notify and ndisc_notify set, writing the MAC (the same one) makes the kernel announce every address of the
  // link. At link up it would be too early: the bridge port does not forward yet, and a packet socket of our own would
  // cost an RCU grace period when it is closed.
  pod.socket.request([setLink(made.pod!, { mac: link.mac })]);
}

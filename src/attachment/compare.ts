import { findSysctl } from "../kernel/sysctl.ts";
import type { NetlinkSocket } from "../kernel/netlink.ts";
import { decodeAddress, getAddresses } from "../netlink/rtnetlink/address.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import { decodeRoutes, formatRoute, getRoutes, type KernelRoute, RT_TABLE_MAIN } from "../netlink/rtnetlink/route.ts";
import { formatPrefix, type Prefix, sameIp, samePrefix } from "../net/ip.ts";
import type { Attachment, Bridge, Route } from "./attachment.ts";
import { forwardingSysctl } from "./apply.ts";
import { findLink } from "./links.ts";
import type { PodNamespace } from "./pod-namespace.ts";

/**
 * Where an attachment is compared: `foreign` when the reference made it, so that only what every plugin would make is
 * asked for.
 */
export interface Surroundings {
  host: NetlinkSocket;
  pod: PodNamespace;
  foreign: boolean;
}

/**
 * Says in words how links, addresses and routes differ from the description; empty when they are as ADD made them. The
 * firewall is compared elsewhere.
 */
export function compareLinks(attachment: Attachment, { host, pod, foreign }: Surroundings): string[] {
  const { veth } = attachment;
  const hostLink = findLink(host, veth.host.name);
  const podLink = findLink(pod.socket, veth.pod.name);
  const differences = [
    ...compareEnd(hostLink, veth.host, "on the host"),
    ...compareEnd(podLink, veth.pod, "in the container"),
    ...(attachment.bridge ? compareBridge(attachment.bridge, host, hostLink, foreign) : []),
    ...(foreign ? [] : compareSysctls(attachment)),
  ];
  if (!hostLink || !podLink) return differences;
  if (hostLink.peer !== podLink.index || podLink.peer !== hostLink.index) {
    differences.push(`${veth.host.name} and ${veth.pod.name} are not the two ends of one veth pair`);
  }
  if (!hostLink.up) differences.push(`link ${veth.host.name} on the host is down`);
  if (attachment.pod.up && !podLink.up) differences.push(`link ${veth.pod.name} in the container is down`);
  return [
    ...differences,
    ...compareAddresses(
      pod.socket,
      podLink,
      attachment.pod.addresses.map(({ prefix }) => prefix),
    ),
    ...compareRoutes(pod.socket, podLink, foreign ? attachment.pod.routes.map(withoutMetrics) : attachment.pod.routes),
    ...compareAddresses(
      host,
      hostLink,
      attachment.host.addresses.map(({ prefix }) => prefix),
    ),
    ...compareRoutes(host, hostLink, attachment.host.routes),
  ];
}

function compareEnd(link: Link | undefined, wanted: { name: string; mac: string }, where: string): string[] {
  if (!link) return [`link ${wanted.name} does not exist ${where}`];
  if (link.kind !== "veth") {
    return [`link ${wanted.name} ${where} is not a veth but ${link.kind ? `a ${link.kind}` : "a device"}`];
  }
  return wanted.mac && link.mac !== wanted.mac
    ? [`link ${wanted.name} ${where} has MAC ${link.mac}, not ${wanted.mac}`]
    : [];
}

function compareBridge(
  wanted: NonNullable<Attachment["bridge"]>,
  host: NetlinkSocket,
  port: Link | undefined,
  foreign: boolean,
): string[] {
  const bridge = findLink(host, wanted.name);
  if (!bridge) return [`bridge ${wanted.name} does not exist`];
  if (bridge.kind !== "bridge") return [`link ${wanted.name} is not a bridge`];
  const differences: string[] = [];
  if (wanted.mac && bridge.mac !== wanted.mac) {
    differences.push(`bridge ${wanted.name} has MAC ${bridge.mac}, not ${wanted.mac}`);
  }
  if (!bridge.up) differences.push(`bridge ${wanted.name} is down`);
  const promisc = bridge.promiscuity > 0;
  if (promisc !== wanted.promisc) {
    differences.push(`bridge ${wanted.name} is ${wanted.promisc ? "not " : ""}promiscuous`);
  }
  if (port && port.master !== bridge.index) {
    differences.push(`link ${port.name} is not a port of bridge ${wanted.name}`);
  }
  if (port && port.hairpin !== undefined) differences.push(...comparePort(port, wanted.port));
  return foreign ? differences : [...differences, ...compareGateways(host, bridge, wanted)];
}

function comparePort(port: Link, wanted: { hairpin: boolean; isolated: boolean }): string[] {
  return [
    ...(port.hairpin === wanted.hairpin
      ? []
      : [`hairpin mode of bridge port ${port.name} is ${port.hairpin ? "on" : "off"}`]),
    ...(port.isolated === wanted.isolated
      ? []
      : [`isolation of bridge port ${port.name} is ${port.isolated ? "on" : "off"}`]),
  ];
}

function compareGateways(host: NetlinkSocket, bridge: Link, wanted: Bridge): string[] {
  if (wanted.addresses.length === 0) return [];
  const holder = wanted.vlanInterface ? findLink(host, wanted.vlanInterface.name) : bridge;
  return holder
    ? compareAddresses(host, holder, wanted.addresses)
    : [`VLAN interface ${wanted.vlanInterface!.name} does not exist`];
}

/** Forwarding, and what the host's end of the pair needs to be a gateway. */
function compareSysctls({ host }: Attachment): string[] {
  const own = host.sysctls
    .filter(({ path, value, optional }) => !optional && findSysctl(path) !== value)
    .map(({ path, value }) => `${path} is not ${value}`);
  const forwarding = host.forwarding
    .filter((family) => findSysctl(forwardingSysctl[family]) !== "1")
    .map(
      (family) => `${forwardingSysctl[family].replaceAll("/", ".")} is not 1: the host does not forward IPv${family}`,
    );
  return [...own, ...forwarding];
}

function compareAddresses(socket: NetlinkSocket, link: Link, wanted: Prefix[]): string[] {
  if (wanted.length === 0) return [];
  const present = socket.dump(getAddresses(link.index)).flatMap((reply) => decodeAddress(reply)?.prefix ?? []);
  return wanted
    .filter((prefix) => !present.some((other) => samePrefix(other, prefix)))
    .map((prefix) => `address ${formatPrefix(prefix)} is missing on ${link.name}`);
}

function compareRoutes(socket: NetlinkSocket, link: Link, wanted: Route[]): string[] {
  const families = [...new Set(wanted.map(({ dst }) => dst.ip.family))];
  const present = families.flatMap((family) => socket.dump(getRoutes(family)).flatMap(decodeRoutes));
  return wanted
    .filter((route) => !present.some((other) => servesAs(other, route, link)))
    .map((route) => `route ${formatRoute(route)} through ${link.name} is missing`);
}

/** The reference reports a route's mtu and advmss but does not install them. */
const withoutMetrics = ({ mtu: _mtu, advmss: _advmss, ...route }: Route): Route => route;

/**
 * In the route's own table, through the link, to the same gateway, with the same numbers; those nobody asked for are
 * the kernel's affair.
 */
function servesAs(route: KernelRoute, wanted: Route, link: Link): boolean {
  return (
    samePrefix(route.dst, wanted.dst) &&
    route.table === (wanted.table ?? RT_TABLE_MAIN) &&
    route.index === link.index &&
    (wanted.gw ? route.gw !== undefined && sameIp(route.gw, wanted.gw) : route.gw === undefined) &&
    (!wanted.priority || route.priority === wanted.priority) &&
    (!wanted.mtu || route.mtu === wanted.mtu) &&
    (!wanted.advmss || route.advmss === wanted.advmss) &&
    (wanted.scope === undefined || wanted.dst.ip.family === 6 || route.scope === wanted.scope)
  );
}

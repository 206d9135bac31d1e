import { forgetFlows, IPPROTO_UDP, type Flow } from "../../kernel/conntrack.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { decodeAddress, getAddresses } from "../../kernel/rtnetlink/address.ts";
import { type Family, formatIp, type Ip, sameIp } from "../../net/ip.ts";

/** A host port that UDP flows may remember; `address` where the mapping is for one address of the node. */
export interface UdpPort {
  hostPort: number;
  family: Family;
  address?: Ip;
}

/** Such a port that was mapped, and the pod it led to. */
export type UdpFlow = UdpPort & { pod: Ip | undefined };

/** The host's NETLINK_ROUTE and NETLINK_NETFILTER. */
export interface Sockets {
  host: NetlinkSocket;
  netfilter: NetlinkSocket;
}

/**
 * UDP has no handshake: a client that goes on sending from one port is led where the kernel remembers, to a pod that is gone
 * or past one that came. Forgets such flows, of the pod's address and of the ports of the node's own addresses.
 */
export function forgetStaleFlows(pods: readonly Ip[], ports: readonly UdpPort[], { host, netfilter }: Sockets): void {
  let own: Set<string> | undefined;
  const isOwn = (ip: Ip): boolean => isLoopback(ip) || (own ??= addressesOf(host)).has(formatIp(ip));
  const isOfPod = ({ source, destination, answering }: Flow): boolean => pods.some((pod) => [source, destination, answering].some((ip) => sameIp(ip, pod)));
  const isOfPort = ({ destination, destinationPort }: Flow): boolean =>
    ports.some(({ hostPort, family, address }) => hostPort === destinationPort && family === destination.family && (address ? sameIp(address, destination) : isOwn(destination)));
  for (const family of new Set(ports.map((port) => port.family))) {
    forgetFlows(netfilter, { family, protocol: IPPROTO_UDP }, (flow) => isOfPod(flow) || isOfPort(flow));
  }
}

const addressesOf = (host: NetlinkSocket): Set<string> =>
  new Set(host.dump(getAddresses(0)).flatMap((reply) => decodeAddress(reply)?.prefix.ip ?? []).map(formatIp));

const isLoopback = (ip: Ip): boolean => (ip.family === 4 ? ip.value >> 24n === 127n : ip.value === 1n);

import { forgetFlows } from "../../kernel/conntrack.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { type FlowPattern, IPPROTO_UDP } from "../../netlink/conntrack.ts";
import { type Family, formatIp, type Ip } from "../../net/ip.ts";
import { listAddresses } from "../link/links.ts";

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
 * UDP has no handshake: a client that goes on sending from one port is led where the kernel remembers, to a pod that is
 * gone or past one that came. Forgets such flows, of the pod's address and of the ports of the node's own addresses.
 */
export function forgetStaleFlows(pods: readonly Ip[], ports: readonly UdpPort[], { host, netfilter }: Sockets): void {
  const own = ports.every(({ address }) => address) ? [] : addressesOf(host);
  for (const family of new Set(ports.map((port) => port.family))) {
    const isOfFamily = (ip: Ip): boolean => ip.family === family;
    const ofPods = pods
      .filter(isOfFamily)
      .flatMap((pod): FlowPattern[] => [{ source: pod }, { destination: pod }, { answering: pod }]);
    const ofPorts = ports
      .filter((port) => port.family === family)
      .flatMap(({ hostPort, address }): FlowPattern[] =>
        (address ? [address] : own.filter(isOfFamily)).map((destination) => ({
          destination,
          destinationPort: hostPort,
        })),
      );
    forgetFlows(netfilter, { family, protocol: IPPROTO_UDP }, [...ofPods, ...ofPorts]);
  }
}

/** Each once: with ptp every pod's link has the same. */
function addressesOf(host: NetlinkSocket): Ip[] {
  const found = listAddresses(host).map(({ ip }) => ip);
  return [...new Map(found.map((ip) => [formatIp(ip), ip])).values()];
}

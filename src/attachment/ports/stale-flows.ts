import { forgetFlows } from "../../kernel/conntrack.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../kernel/netlink.ts";
import { type FlowPattern, IPPROTO_UDP } from "../../netlink/conntrack.ts";
import { collectAddresses, getAddresses } from "../../netlink/rtnetlink/address.ts";
import type { Family, Ip } from "../../net/ip.ts";

/**
 * A host port that UDP flows may remember; `address` where the mapping is for one address of the node, `pod` where all
 * its flows led to that one, by which they are told.
 */
export interface UdpPort {
  hostPort: number;
  family: Family;
  address?: Ip;
  pod?: Ip | undefined;
}

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
  for (const family of new Set(ports.map((port) => port.family))) {
    const ofPods = pods
      .filter((pod) => pod.family === family)
      .flatMap((pod): FlowPattern[] => [{ source: pod }, { destination: pod }, { answering: pod }]);
    const ofFamily = ports.filter((port) => port.family === family && !port.pod);
    const ofPorts = ofFamily.flatMap(({ hostPort, address }): FlowPattern[] =>
      address ? [{ destination: address, destinationPort: hostPort }] : [],
    );
    forgetFlows(
      netfilter,
      { family, protocol: IPPROTO_UDP },
      {
        patterns: [...ofPods, ...ofPorts],
        ports: ofFamily.filter(({ address }) => !address).map(({ hostPort }) => hostPort),
        own: {
          atMost: (count) => fewAddresses(family, count),
          all: () => ownAddresses(host, family),
        },
      },
    );
  }
}

/** By their bytes in hex; an interrupted list may lack what came meanwhile, which no flow of before led to. */
function ownAddresses(host: NetlinkSocket, family: Family, atMost = Infinity): Map<string, Ip> {
  const own = new Map<string, Ip>();
  const seen = new Set<number>();
  host.scanBytes(getAddresses(0, family), (datagram) => {
    collectAddresses(datagram, own, seen);
    return own.size > atMost;
  });
  return own;
}

/** As `ownAddresses`, where there are no more than so many: a socket whose list was left is of no further use. */
function fewAddresses(family: Family, count: number): Ip[] | undefined {
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  try {
    const own = ownAddresses(host, family, count);
    return own.size > count ? undefined : [...own.values()];
  } finally {
    host.close();
  }
}

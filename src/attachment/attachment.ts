import type { Link } from "../netlink/rtnetlink/link.ts";
import type { RouteSpec } from "../netlink/rtnetlink/route.ts";
import type { Ip, Prefix, Family } from "../net/ip.ts";

/** Who an attachment belongs to: the triple that names it in every verb (SPEC.md, "Container attachments"). */
export interface Owner {
  network: string;
  containerId: string;
  ifname: string;
}

/** `path` is relative to /proc/sys; `optional` ones may be missing on a kernel built without the feature. */
export interface Sysctl {
  path: string;
  value: string;
  optional?: boolean;
}

/** A route of a link, as rtnetlink takes it. */
export type Route = RouteSpec;

/**
 * An address of a link: IPv6 ones are set with IFA_F_NODAD unless `dad`; `noPrefixRoute` keeps the kernel from adding
 * the connected route.
 */
export interface LinkAddress {
  prefix: Prefix;
  dad?: boolean;
  noPrefixRoute?: boolean;
}

/** VLANs of a bridge port; all numbers are VLAN ids. */
export interface PortVlans {
  /** remove what the port has by default (VLAN 1) first */
  dropDefault: boolean;
  /** the untagged one (PVID) */
  untagged?: number;
  tagged: number[];
}

/** A Linux bridge, shared by attachments: made when missing, never removed. */
export interface Bridge {
  name: string;
  mac: string;
  /** set on a bridge that is made, compared with one that exists; absent: the kernel's default */
  mtu?: number;
  vlanFiltering: boolean;
  promisc: boolean;
  /** gateway addresses the bridge (or its VLAN interface) carries */
  addresses: Prefix[];
  forceAddress: boolean;
  /** the host-side interface `<bridge>.<vlan>` that carries the addresses in place of the bridge */
  vlanInterface?: { name: string; mac: string; vlans: PortVlans };
}

/** How the host veth is plugged into the bridge. */
export interface BridgePort {
  hairpin: boolean;
  isolated: boolean;
  vlans?: PortVlans;
}

/** One end of the veth pair. */
export interface VethEnd {
  name: string;
  mac: string;
}

/**
 * A port of the node that leads to a port of the pod; `hostIp` absent means any address of the node, of the pod
 * address's family.
 */
export interface PortMapping {
  hostPort: number;
  containerPort: number;
  protocol: "tcp" | "udp" | "sctp";
  hostIp?: Ip;
}

export interface PortMappings {
  backend: "nftables" | "iptables";
  mappings: PortMapping[];
  /** the pod's addresses the mappings lead to, at most one of each family, with their prefix length */
  addresses: Prefix[];
  snat: boolean;
  masqAll: boolean;
  markMasqBit: number;
  externalSetMarkChain?: string;
  conditions: { 4: string[]; 6: string[] };
}

/** What the host's firewall holds for one attachment. */
export interface Firewall {
  /** masquerade what leaves the pod for anything outside the subnet of its address */
  masquerade?: { backend: "nftables" | "iptables"; addresses: Prefix[] };
  /** drop frames from the host veth whose source MAC is not this one (bridge only) */
  spoofCheck?: { mac: string };
  portMappings?: PortMappings;
}

/**
 * Everything one attachment needs to exist, in the host and in the pod, and nothing else: ADD applies it, CHECK
 * compares it, DEL and GC remove it.
 */
export interface Attachment {
  owner: Owner;
  /** path of the pod's network namespace, as CNI_NETNS spelled it */
  netns: string;
  veth: {
    host: VethEnd;
    pod: VethEnd;
    mtu?: number;
  };
  bridge?: Bridge & { port: BridgePort };
  pod: {
    /** false: the pod's end stays down (disableContainerInterface) */
    up: boolean;
    sysctls: Sysctl[];
    addresses: LinkAddress[];
    routes: Route[];
    /** permanent neighbours (address and MAC) */
    neighbours: { ip: Ip; mac: string }[];
  };
  host: {
    /** families whose forwarding is switched on */
    forwarding: Family[];
    /** on the host veth */
    sysctls: Sysctl[];
    addresses: LinkAddress[];
    routes: Route[];
  };
  firewall: Firewall;
}

/** What only the kernel knows about links that were made or found: what ADD reports beyond its plan. */
export interface Applied {
  host: Link;
  bridge?: Link;
  /** `<bridge>.<vlan>` where the gateway addresses live there */
  vlanInterface?: Link;
}

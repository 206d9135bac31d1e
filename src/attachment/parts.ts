import type { Device } from "../netlink/rtnetlink/device.ts";
import type { RouteSpec } from "../netlink/rtnetlink/route.ts";
import type { LinkSettings } from "../netlink/rtnetlink/settings.ts";
import type { Family, Ip, Prefix } from "../net/ip.ts";

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
  untagged: number;
  /** ascending; the untagged one is not meant where it is among them */
  tagged: number[];
}

/** How a link is plugged into a bridge. */
export interface BridgePort {
  hairpin: boolean;
  isolated: boolean;
  vlans?: PortVlans;
}

/** A Linux bridge, shared by attachments: made when missing, never removed. */
export interface BridgePart {
  kind: "bridge";
  name: string;
  mac: string;
  /** set on a bridge that is made, compared with one that exists; absent: the kernel's default */
  mtu?: number;
  vlanFiltering: boolean;
  promisc: boolean;
}

/** One end of a veth pair. */
export interface VethEnd {
  name: string;
  mac: string;
}

/** The attachment's own link: a veth pair from the host into the pod. */
export interface VethPart {
  kind: "veth";
  host: VethEnd & { sysctls: Sysctl[] };
  pod: VethEnd;
  mtu?: number;
  /** at CHECK: of the pod's end, where that is known to be another one */
  podMtu?: number;
  /** false: the pod's end stays down (disableContainerInterface) */
  up: boolean;
  /** the bridge the host's end is plugged into */
  plug?: BridgePort & { bridge: string };
}

/** A link others are made of: by its name, else that of the first default route; the pod's own or one of the host. */
export interface Master {
  name?: string;
  inPod: boolean;
}

/** The attachment's own link where it has no end on the host: made in the pod, of a master or of nothing. */
export interface PodLinkPart {
  kind: "podLink";
  /** without a MAC it is the kernel's choice, or the master's */
  link: { name: string; mac?: string };
  device: Device;
  master?: Master;
  mtu?: number;
  /** at CHECK: as prevResult has it */
  podMtu?: number;
  /** at CHECK: what its master had when it was made, where that is known; `mtu` comes first */
  masterMtu?: number;
  /** a TAP device only: the bridge of the pod that it is a port of */
  bridge?: string;
  /** a TAP device only: the SELinux label of the program that makes it, and so its own */
  selinuxContext?: string;
}

/** A device of the host, by what a configuration has to tell it; `id` is a PCI address, or of the auxiliary bus. */
export interface DeviceChoice {
  by: "device" | "hwaddr" | "kernelpath" | "pciBusID" | "runtimeConfig.deviceID";
  id: string;
}

/** A link of the host that is the pod's while it lives, under another name. */
export interface MovedLinkPart {
  kind: "movedLink";
  link: { name: string; mac?: string };
  choice: DeviceChoice;
  /** the PCI or auxiliary device whose driver tells whether a program drives it, without any link */
  bus?: DeviceChoice;
  /** where no `bus` tells: a program drives it */
  dpdk: boolean;
}

/** The VRF of the pod that the attachment's link is a member of: made when missing, removed with its last member. */
export interface VrfPart {
  kind: "vrf";
  name: string;
  /** absent: one that is there has its own, one that is made the first that is free */
  table?: number;
}

/** What the host has for the pod: addresses and routes of the host's end of its link, and forwarding. */
export interface HostPart {
  kind: "host";
  addresses: LinkAddress[];
  routes: Route[];
  /** families whose forwarding is switched on, and never off */
  forwarding: Family[];
}

/** What the pod's end of the link carries. */
export interface PodPart {
  kind: "pod";
  link: VethEnd;
  up: boolean;
  sysctls: Sysctl[];
  addresses: LinkAddress[];
  routes: Route[];
  /** permanent neighbours (address and MAC) */
  neighbours: { ip: Ip; mac: string }[];
}

/** Gateway addresses that a bridge, or its VLAN interface, carries for all its pods: never removed. */
export interface GatewaysPart {
  kind: "gateways";
  bridge: string;
  addresses: Prefix[];
  /** of the network's other pods: where they are there they stay */
  others: readonly Prefix[];
  force: boolean;
  /**
   * the host-side interface `<bridge>.<vlan>` that carries the addresses in place of the bridge; at CHECK with the MTU
   * that ADD reported
   */
  vlanInterface?: VethEnd & { vlans: PortVlans; mtu?: number };
}

export type Backend = "iptables" | "nftables";

/** Masquerades what leaves the pod for anything outside the subnet of its address. */
export interface MasqueradePart {
  kind: "masquerade";
  backend: Backend;
  addresses: Prefix[];
}

/** Drops frames from the host's end of the link whose source MAC is not this one. */
export interface SpoofCheckPart {
  kind: "spoofCheck";
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

/** Leads ports of the node to the pod; without mappings or addresses there is nothing to lead. */
export interface PortsPart {
  kind: "ports";
  backend: Backend;
  mappings: PortMapping[];
  /** the pod's addresses the mappings lead to, at most one of each family, with their prefix length */
  addresses: Prefix[];
  snat: boolean;
  masqAll: boolean;
  markMasqBit: number;
  externalSetMarkChain?: string;
  conditions: { 4: string[]; 6: string[] };
}

/** Whom a pod's bridge is closed to: nobody, pods of other bridges that have a policy, or the pods on it as well. */
export type IngressPolicy = "open" | "same-bridge" | "isolated";

/** Lets what is forwarded for the pod pass the host's firewall, and keeps bridges, or the pods of one, apart. */
export interface FilterPart {
  kind: "filter";
  /** absent: nftables, and firewalld's zone as well where firewalld has its table */
  backend?: Backend | "firewalld";
  addresses: Ip[];
  /** the administrator's chain in iptables, which comes first */
  adminChain: string;
  /** firewalld's zone */
  zone: string;
  policy: IngressPolicy;
  /** the bridge the policy is for; absent where there is none */
  bridge?: string;
}

/** An address of the link a chained plugin is called for, and the gateway it goes with. */
export interface SourceAddress {
  address: Prefix;
  gateway?: Ip;
}

/** Leads what the pod sends from these addresses by the link they are on, whatever other links it has. */
export interface SourceRoutesPart {
  kind: "sourceRoutes";
  /** a table others fill; absent: one for each address, with the link's routes */
  table?: number;
  addresses: SourceAddress[];
}

/** A limit: bytes a second, and the bytes that may pass at once after a pause. */
export interface Shaping {
  rate: number;
  burst: number;
}

/** How fast the pod may receive (`ingress`) and send (`egress`); absent: as fast as it can. */
export interface BandwidthPart {
  kind: "bandwidth";
  ingress?: Shaping;
  egress?: Shaping;
}

/** A sysctl as a configuration spells it, and its path relative to /proc/sys. */
export interface TunedSysctl {
  key: string;
  path: string;
  value: string;
}

/** Where tuning keeps what there was before, unless it is told otherwise. */
export const TUNING_FOLDER = "/run/cni/tuning";

/** What is set of the pod's interface and namespace, and put back in the end. */
export interface TuningPart {
  kind: "tuning";
  sysctls: TunedSysctl[];
  link: Partial<LinkSettings>;
  /** where a file says what there was before */
  dataDir: string;
}

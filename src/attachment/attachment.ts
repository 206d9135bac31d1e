import type { Link } from "../netlink/rtnetlink/link.ts";
import type {
  BridgePart,
  VethPart,
  PodLinkPart,
  MovedLinkPart,
  VrfPart,
  HostPart,
  PodPart,
  GatewaysPart,
  MasqueradePart,
  SpoofCheckPart,
  PortsPart,
  FilterPart,
  SourceRoutesPart,
  BandwidthPart,
  TuningPart,
} from "./parts.ts";

export type * from "./parts.ts";

/** Who an attachment belongs to: the triple that names it in every verb (SPEC.md, "Container attachments"). */
export interface Owner {
  network: string;
  containerId: string;
  ifname: string;
}

export type Part =
  | BridgePart
  | VethPart
  | PodLinkPart
  | MovedLinkPart
  | HostPart
  | PodPart
  | GatewaysPart
  | MasqueradePart
  | SpoofCheckPart
  | PortsPart
  | FilterPart
  | SourceRoutesPart
  | BandwidthPart
  | TuningPart
  | VrfPart;
export type PartName = Part["kind"];
export type PartOf<K extends PartName> = Extract<Part, { kind: K }>;

/**
 * Everything one attachment needs to exist, in the host and in the pod, and nothing else, in the order in which it is
 * made: ADD applies it, CHECK compares it, DEL and GC remove it.
 */
export interface Attachment {
  owner: Owner;
  /** path of the pod's network namespace, as CNI_NETNS spelled it */
  netns: string;
  parts: Part[];
}

/** An attachment's part of that kind, if it has one. */
export const findPart = <K extends PartName>(parts: readonly Part[], kind: K): PartOf<K> | undefined =>
  parts.find((part): part is PartOf<K> => part.kind === kind);

/** The pod's end of the attachment's link; one that is made of a master that is down has no carrier yet. */
export interface PodEnd {
  index: number;
  name: string;
  mac: string;
  hasCarrier: boolean;
  /** the kernel keeps its operational state (IFLA_OPERSTATE): that of ipvlan and dummy is "unknown" for ever */
  isWatched: boolean;
}

/** What only the kernel knows about links that were made or found: what ADD reports beyond its plan. */
export interface Made {
  bridge?: Link;
  /** the host's end of the pair */
  veth?: Link;
  /** the pod's end of the link, whatever its sort */
  pod?: PodEnd;
  /** `<bridge>.<vlan>` where the gateway addresses live there */
  vlanInterface?: Link;
  /** what the pod sends is led through it */
  ifb?: Link;
}

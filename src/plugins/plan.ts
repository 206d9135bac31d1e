import type { Applied, Attachment } from "../attachment/attachment.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Dns, Result, ResultIp, ResultRoute } from "../cni/result.ts";
import type { ContainerConfig } from "./container-plan.ts";

/** The keys of every plugin that wires a container, and one that only bridges have. */
export type WiringConfig = ContainerConfig & { macspoofchk?: boolean };

/** What a plan is made for: names and MACs, chosen at ADD; at CHECK prevResult's, "" where it says none. */
export interface Subject {
  owner: Attachment["owner"];
  netns: string;
  hostVeth: string;
  hostMac: string;
  podMac: string;
  /** of a bridge that is made, and of its VLAN interface */
  bridgeMac: string;
  vlanMac: string;
}

/** What IPAM gave; empty for a plugin without one. */
export interface Lease {
  ips: ResultIp[];
  routes: ResultRoute[];
  dns: Dns;
}

/** The description of an attachment, and the addresses and routes as they are reported for it. */
export interface Plan {
  attachment: Attachment;
  ips: ResultIp[];
  routes: ResultRoute[];
}

/**
 * What makes one wiring plugin differ from another: its keys, its plan, its list of interfaces. Nothing of it talks to
 * Linux.
 */
export interface Wiring<C extends WiringConfig> {
  name: string;
  needsIpam: boolean;
  read(call: Invocation): C;
  /** the MAC asked for, if any */
  mac?(config: C): string | undefined;
  plan(config: C, subject: Subject, lease: Lease): Plan;
  interfaces(plan: Plan, applied: Applied): Result["interfaces"];
}

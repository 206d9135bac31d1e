import type { Ip, Prefix } from "../net/ip.ts";

/** One link an attachment made, as CNI 1.1.0 reports it; `sandbox` is absent for links of the host. */
export interface ResultInterface {
  name: string;
  mac?: string;
  mtu?: number;
  sandbox?: string;
  socketPath?: string;
  pciID?: string;
}

/** One address given to the container; `interface` is an index into `Result.interfaces`. */
export interface ResultIp {
  address: Prefix;
  gateway?: Ip;
  interface?: number;
}

/** One route as configuration and results spell it; the numbers are absent when nobody set them. */
export interface ResultRoute {
  dst: Prefix;
  gw?: Ip;
  mtu?: number;
  advmss?: number;
  priority?: number;
  table?: number;
  scope?: number;
}

export interface Dns {
  nameservers: string[];
  domain: string;
  search: string[];
  options: string[];
}

/** The one result podwire works with, whatever version was read or will be printed (SPEC.md 1.1.0, "ADD Success"). */
export interface Result {
  interfaces: ResultInterface[];
  ips: ResultIp[];
  routes: ResultRoute[];
  dns: Dns;
}

/** What IPAM gave, or an earlier plugin of a chain; empty for an attachment without addresses. */
export type Addressing = Omit<Result, "interfaces"> & {
  /** the gateways of all ranges there are for the network's pods, where that is known */
  gateways?: readonly Prefix[];
};

export const noAddressing = (): Addressing => ({ ips: [], routes: [], dns: noDns() });

export const noDns = (): Dns => ({ nameservers: [], domain: "", search: [], options: [] });

import { findPart, type PartName, type PartOf } from "../../../src/attachment/attachment.ts";
import type { Addressing } from "../../../src/cni/result.ts";
import type { Plan, Subject } from "../../../src/verbs/plan.ts";
import { planBridge } from "../../../src/plugins/interface/bridge.ts";
import { planPtp } from "../../../src/plugins/interface/ptp.ts";
import { type Ip, parseIp, parsePrefix, type Prefix } from "../../../src/net/ip.ts";

export const ip = (text: string): Ip => parseIp(text)!;
export const prefix = (text: string): Prefix => parsePrefix(text)!;

export type BridgeConfig = Parameters<typeof planBridge>[0];
export type PtpConfig = Parameters<typeof planPtp>[0];

const portDefaults = { snat: true, masqAll: false, conditionsV4: [], conditionsV6: [] };

/** What a bridge configuration without any key means; keys that are about the host's ports left out. */
const bridgeDefaults = {
  ...portDefaults,
  bridge: "cni0",
  isGateway: false,
  isDefaultGateway: false,
  forceAddress: false,
  ipMasq: false,
  mtu: 0,
  hairpinMode: false,
  promiscMode: false,
  vlan: 0,
  preserveDefaultVlan: false,
  macspoofchk: false,
  enabledad: false,
  disableContainerInterface: false,
  portIsolation: false,
};
const ptpDefaults: PtpConfig = {
  ...portDefaults,
  ipMasq: false,
  mtu: 0,
  enabledad: false,
  gatewayMode: "subnet",
};

export const subject: Subject = {
  owner: { network: "net", containerId: "one", ifname: "eth0" },
  netns: "/run/netns/one",
  hostVeth: "veth1",
  hostMac: "02:00:00:00:00:01",
  podMac: "02:00:00:00:00:02",
  bridgeMac: "02:00:00:00:00:03",
  vlanMac: "02:00:00:00:00:04",
  listed: [],
};

/** The part of that kind. */
export const part = <K extends PartName>({ attachment }: Plan, kind: K): PartOf<K> => findPart(attachment.parts, kind)!;

/** A lease of these addresses, each with the gateway after it ("" for none). */
export const lease = (
  addresses: [address: string, gateway: string][],
  routes: Addressing["routes"] = [],
): Addressing => ({
  ips: addresses.map(([address, gateway]) => ({ address: prefix(address), ...(gateway && { gateway: ip(gateway) }) })),
  routes,
  dns: { nameservers: [], domain: "", search: [], options: [] },
});

export const bridgeOf = (more: Partial<BridgeConfig>, of: Addressing) =>
  planBridge({ ...bridgeDefaults, ...more }, subject, of);
export const ptpOf = (more: Partial<PtpConfig>, of: Addressing) => planPtp({ ...ptpDefaults, ...more }, subject, of);

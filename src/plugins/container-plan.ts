import type { Attachment, LinkAddress, Route, Sysctl } from "../attachment/attachment.ts";
import { dns } from "../cni/fields.ts";
import type { ResultIp, ResultRoute } from "../cni/result.ts";
import { anything, choice, flag, type Infer, integer, map, optional, orElse, shape, text } from "../cni/schema.ts";
import { RT_SCOPE } from "../netlink/rtnetlink/route.ts";
import { type Family, type Ip, networkOf, sameIp, samePrefix } from "../net/ip.ts";
import type { Subject } from "./plan.ts";
import { planPortMappings, type PortMappingConfig, portMappingFields } from "./port-mappings.ts";

/** Whose attachment it is, and its veth pair. */
export const planVeth = (
  { mtu }: { mtu: number },
  { owner, netns, hostVeth, hostMac, podMac }: Subject,
): Pick<Attachment, "owner" | "netns" | "veth"> => ({
  owner,
  netns,
  veth: { host: { name: hostVeth, mac: hostMac }, pod: { name: owner.ifname, mac: podMac }, ...(mtu && { mtu }) },
});

/** Families among addresses, each once. */
export const familiesOf = (ips: ResultIp[]): Family[] => [...new Set(ips.map(({ address }) => address.ip.family))];

/** The gateway routes of a family go through when they name none: the first one IPAM gave for it. */
export const gatewayOf = (ips: ResultIp[], family: Family): Ip | undefined =>
  ips.find(({ address, gateway }) => address.ip.family === family && gateway)?.gateway;

/**
 * Result routes as the container gets them: host bits of `dst` cleared, a gateway filled in unless the scope says there
 * is none; equal ones once.
 */
export function planRoutes(routes: ResultRoute[], ips: ResultIp[]): Route[] {
  const planned = routes.map(({ dst, gw, ...rest }): Route => {
    const direct = rest.scope === RT_SCOPE.LINK || rest.scope === RT_SCOPE.HOST;
    const through = gw ?? (direct ? undefined : gatewayOf(ips, dst.ip.family));
    return { ...rest, dst: networkOf(dst), ...(through && { gw: through }) };
  });
  return planned.filter((route, at) => planned.findIndex((other) => sameRoute(route, other)) === at);
}

const sameRoute = (a: Route, b: Route): boolean =>
  samePrefix(a.dst, b.dst) &&
  a.table === b.table &&
  a.priority === b.priority &&
  (a.gw && b.gw ? sameIp(a.gw, b.gw) : a.gw === b.gw);

/** Addresses as the container gets them. */
export const planAddresses = (ips: ResultIp[], options: Omit<LinkAddress, "prefix">): LinkAddress[] =>
  ips.map(({ address }) => ({ prefix: address, ...options }));

/**
 * Sysctls of a container's interface that has addresses: it takes no router's word (the routes are the
 * configuration's), keeps its IPv6 addresses when it is set down, and announces its addresses when told to (see
 * `settle`).
 */
export function planPodSysctls(ifname: string, ips: ResultIp[], dad: boolean): Sysctl[] {
  const v6 = `net/ipv6/conf/${ifname}`;
  const hasIpv6 = familiesOf(ips).includes(6);
  return [
    ...(hasIpv6
      ? [
          { path: "net/ipv6/conf/lo/disable_ipv6", value: "0" },
          { path: `${v6}/disable_ipv6`, value: "0" },
          { path: `${v6}/keep_addr_on_down`, value: "1" },
        ]
      : []),
    { path: `${v6}/accept_ra`, value: "0", optional: true },
    ...(dad ? [{ path: `${v6}/enhanced_dad`, value: "1", optional: true }] : []),
    { path: `${v6}/accept_dad`, value: dad ? "1" : "0", optional: true },
    { path: `${v6}/ndisc_notify`, value: "1", optional: true },
    { path: `net/ipv4/conf/${ifname}/arp_notify`, value: "1", optional: true },
  ];
}

/** A host veth takes no router's word either: the pod behind it must not configure the host. */
export const hostVethSysctls = (name: string): Sysctl[] => [
  { path: `net/ipv6/conf/${name}/accept_ra`, value: "0", optional: true },
];

/** The keys every wiring plugin reads the same way; the ones of portmap count where the capability is on. */
export const containerFields = {
  ...portMappingFields,
  ipMasq: flag(),
  ipMasqBackend: optional(choice("nftables", "iptables")),
  mtu: orElse(integer(0, 65535), 0),
  enabledad: flag(),
  ipam: optional(shape({ type: orElse(text(), "") })),
  dns: optional(dns),
  capabilities: optional(map(anything())),
};

export type ContainerConfig = Infer<ReturnType<typeof shape<typeof containerFields>>> & PortMappingConfig;

/** True when the runtime was told to hand over port mappings: then no portmap plugin is needed behind this one. */
export const mapsPorts = ({ capabilities }: Pick<ContainerConfig, "capabilities">): boolean =>
  capabilities?.["portMappings"] === true;

/** What the host's firewall holds for these addresses: masquerading and port mappings, as far as they are asked for. */
export function planFirewall(config: ContainerConfig, ips: ResultIp[]): Attachment["firewall"] {
  const addresses = ips.map(({ address }) => address);
  const portMappings = mapsPorts(config) ? planPortMappings(config, addresses) : undefined;
  return {
    ...(config.ipMasq &&
      addresses.length > 0 && { masquerade: { backend: config.ipMasqBackend ?? "nftables", addresses } }),
    ...(portMappings && { portMappings }),
  };
}

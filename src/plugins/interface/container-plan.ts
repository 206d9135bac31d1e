import type { LinkAddress, Part, PodPart, Route, Sysctl, VethPart } from "../../attachment/attachment.ts";
import { CniError, Code } from "../../cni/error.ts";
import { dns } from "../../cni/fields.ts";
import type { Idle } from "../../cni/reading.ts";
import type { ResultIp, ResultRoute } from "../../cni/result.ts";
import {
  type Complaint,
  type Infer,
  anything,
  decoded,
  flag,
  map,
  optional,
  optionalOrEmpty,
  orElse,
  shape,
  text,
} from "../../cni/schema.ts";
import { RT_SCOPE, RT_TABLE_MAIN } from "../../netlink/rtnetlink/route.ts";
import { type Family, formatPrefix, type Ip, isUnspecified, networkOf, sameIp, samePrefix } from "../../net/ip.ts";
import type { Subject } from "../../verbs/plan.ts";
import { planPorts, portMappingComplaints, type PortMappingConfig, portMappingFields } from "../port-mappings.ts";

/** The veth pair; what is special about it goes into `more`. */
export const planVeth = (
  { mtu }: { mtu: number },
  { owner, hostVeth, hostMac, podMac, mtu: reported, podMtu }: Subject,
  { sysctls = [], ...more }: Partial<Pick<VethPart, "up" | "plug">> & { sysctls?: Sysctl[] } = {},
): VethPart => ({
  kind: "veth",
  // a host veth takes no router's word: the pod behind it must not configure the host
  host: { name: hostVeth, mac: hostMac, sysctls: [acceptNoRouter(hostVeth), ...sysctls] },
  pod: { name: owner.ifname, mac: podMac },
  ...((mtu || reported) && { mtu: mtu || reported! }),
  ...(podMtu && { podMtu }),
  up: true,
  ...more,
});

const acceptNoRouter = (link: string): Sysctl => ({
  path: `net/ipv6/conf/${link}/accept_ra`,
  value: "0",
  optional: true,
});

/** The pod's end of the link; without addresses it has nothing but the link itself. */
export const planPod = (
  { owner, podMac }: Pick<Subject, "owner" | "podMac">,
  more: Pick<PodPart, "addresses" | "routes"> & Partial<Omit<PodPart, "kind">>,
): PodPart => ({
  kind: "pod",
  link: { name: owner.ifname, mac: podMac },
  up: true,
  sysctls: [],
  neighbours: [],
  ...more,
});

/** Families among addresses, each once. */
export const familiesOf = (ips: ResultIp[]): Family[] => [...new Set(ips.map(({ address }) => address.ip.family))];

/** The gateway routes of a family go through when they name none: the first one of it that IPAM gave. */
const gatewayOf = (ips: ResultIp[], family: Family): Ip | undefined =>
  ips.find(({ address, gateway }) => address.ip.family === family && gateway?.family === family)?.gateway;

/**
 * Result routes as the container gets them: host bits of `dst` cleared, a gateway filled in unless the scope says there
 * is none, an unspecified one left out; equal ones once, and none that is among `others` already.
 */
export function planRoutes(routes: ResultRoute[], ips: ResultIp[], others: readonly Route[] = []): Route[] {
  const planned = routes.map(withoutNegative).map(({ dst, gw, table, priority, ...rest }): Route => {
    const { family } = dst.ip;
    const direct = rest.scope === RT_SCOPE.LINK || rest.scope === RT_SCOPE.HOST;
    const through = gw ?? (direct ? undefined : gatewayOf(ips, family));
    return {
      ...rest,
      dst: networkOf(dst),
      ...(through && !isUnspecified(through) && { gw: through }),
      // what the kernel does anyway is not said
      ...(table !== undefined && table !== 0 && table !== RT_TABLE_MAIN && { table }),
      ...(priority && priority !== usualPriority[family] && { priority }),
    };
  });
  return planned.filter(
    (route, at) =>
      planned.findIndex((other) => sameRoute(route, other)) === at && !others.some((other) => sameRoute(route, other)),
  );
}

/** A number below 0 says nothing, as in the reference. */
const withoutNegative = (route: ResultRoute): ResultRoute =>
  Object.fromEntries(Object.entries(route).filter(([, value]) => !((value as number) < 0))) as unknown as ResultRoute;

/** The priority of a route that has none: IP6_RT_PRIO_USER (linux/ipv6_route.h). */
const usualPriority = { 4: 0, 6: 1024 } as const;

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
          { path: `${v6}/keep_addr_on_down`, value: "1", optional: true },
        ]
      : []),
    acceptNoRouter(ifname),
    ...(dad ? [{ path: `${v6}/enhanced_dad`, value: "1", optional: true }] : []),
    { path: `${v6}/accept_dad`, value: dad ? "1" : "0", optional: true },
    ...announcing(ifname),
  ];
}

/** The kernel tells neighbours of the addresses when the link comes up. */
export const announcing = (ifname: string): Sysctl[] => [
  { path: `net/ipv6/conf/${ifname}/ndisc_notify`, value: "1", optional: true },
  { path: `net/ipv4/conf/${ifname}/arp_notify`, value: "1", optional: true },
];

/** Signed in Go: the reference passes over what is below 0, most plugins at least. */
export const linkMtu = (most = 65535) =>
  decoded<number>(
    (value) => (Number.isSafeInteger(value) && (value as number) <= most ? Math.max(value as number, 0) : undefined),
    `a whole number from 0 to ${most}`,
  );

/** The keys every wiring plugin reads the same way; the ones of portmap count where the capability is on. */
export const containerFields = {
  ...portMappingFields,
  ipMasq: flag(),
  ipMasqBackend: optionalOrEmpty(text()),
  mtu: orElse(linkMtu(), 0),
  enabledad: flag(),
  ipam: optional(shape({ type: orElse(text(), "") })),
  dns: optional(dns),
  capabilities: optional(map(anything())),
};

export type ContainerConfig = Infer<ReturnType<typeof shape<typeof containerFields>>> & PortMappingConfig;

/** linux/if_ether.h */
const ETH_MIN_MTU = 68;
/** linux/ipv6.h */
const IPV6_MIN_MTU = 1280;

/** CniError 7 for addresses that a link of the MTU that was asked for does not carry. */
export function assertCarried(ips: readonly ResultIp[], { mtu }: Pick<ContainerConfig, "mtu">): void {
  const ipv6 = ips.find(({ address }) => address.ip.family === 6);
  if (!ipv6 || mtu === 0 || mtu >= IPV6_MIN_MTU) return;
  throw new CniError(
    Code.InvalidConfig,
    `invalid configuration: mtu is ${mtu}, must be at least ${IPV6_MIN_MTU} for IPv6 addresses: IPAM gave ` +
      formatPrefix(ipv6.address),
  );
}

const backends = ["nftables", "iptables"] as const;

/** An MTU no link has. */
export const mtuComplaints = ({ mtu }: { mtu: number }): Complaint[] =>
  mtu > 0 && mtu < ETH_MIN_MTU
    ? [{ at: "mtu", must: `must be from ${ETH_MIN_MTU} to 65535, or 0 for the kernel's choice` }]
    : [];

/** What does not go together, for `shape`'s rules: a backend nobody masquerades by is nobody's business. */
export function containerComplaints({ ipMasq, ipMasqBackend, mtu, ...config }: ContainerConfig): Complaint[] {
  const isKnown = ipMasqBackend === undefined || backends.some((name) => name === ipMasqBackend);
  return [
    ...portMappingComplaints(config),
    ...mtuComplaints({ mtu }),
    ...(ipMasq && !isKnown ? [{ at: "ipMasqBackend", must: 'must be "nftables" or "iptables"' }] : []),
  ];
}

/** True when the runtime was told to hand over port mappings: then no portmap plugin is needed behind this one. */
const mapsPorts = ({ capabilities }: Pick<ContainerConfig, "capabilities">): boolean =>
  capabilities?.["portMappings"] === true;

/** Keys of port mappings, where none are made. */
const portKeys = [...Object.keys(portMappingFields), "runtimeConfig.portMappings"];
export const idlePorts: Idle<Pick<ContainerConfig, "capabilities">> = {
  may: portKeys,
  are: (config) => (mapsPorts(config) ? [] : portKeys),
};

/** What the host's firewall holds for these addresses, as far as it is asked for: masquerading and port mappings. */
export function planFirewall(config: ContainerConfig, ips: ResultIp[], more: Part[] = []): Part[] {
  const addresses = ips.map(({ address }) => address);
  return [
    ...(config.ipMasq
      ? [
          {
            kind: "masquerade",
            backend: backends.find((name) => name === config.ipMasqBackend) ?? "nftables",
            addresses,
          } as const,
        ]
      : []),
    ...more,
    ...(mapsPorts(config) ? [planPorts(config, addresses)] : []),
  ];
}

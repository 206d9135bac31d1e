import {
  findPart,
  type HostPart,
  type Made,
  type Part,
  type PodPart,
  type Route,
  type Sysctl,
} from "../../attachment/attachment.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Addressing, ResultInterface, ResultIp, ResultRoute } from "../../cni/result.ts";
import { readConfig } from "../../cni/reading.ts";
import { choice, type Infer, optional, orElse, shape } from "../../cni/schema.ts";
import { RT_SCOPE } from "../../netlink/rtnetlink/route.ts";
import {
  contains,
  defaultPrefix,
  type Family,
  formatIp,
  formatPrefix,
  hostPrefix,
  type Ip,
  isDefault,
  isUnspecified,
  networkOf,
  parseIp,
  sameIp,
  uniqueIps,
} from "../../net/ip.ts";
import { eui64LinkLocal } from "../../net/mac.ts";
import {
  assertCarried,
  containerComplaints,
  containerFields,
  familiesOf,
  idlePorts,
  planAddresses,
  planFirewall,
  planPod,
  planPodSysctls,
  planRoutes,
  planVeth,
} from "./container-plan.ts";
import type { InterfacePlugin, Plan, Subject } from "../../verbs/plan.ts";
import { portMappingList } from "../port-mappings.ts";

const ptpConfig = shape(
  {
    ...containerFields,
    gatewayMode: orElse(choice("subnet", "link-local"), "subnet"),
    runtimeConfig: optional(shape({ portMappings: optional(portMappingList) })),
  },
  containerComplaints,
);

type PtpConfig = Infer<typeof ptpConfig>;
/** What the two modes differ in: the pod's routes, the host's addresses and routes, and sysctls of the host's link. */
interface Sides {
  pod: Pick<PodPart, "addresses" | "routes" | "neighbours">;
  host: Pick<HostPart, "addresses" | "routes">;
  sysctls: Sysctl[];
}

/** A point-to-point attachment as data: one veth pair, the host's end is the gateway. */
export function planPtp(config: PtpConfig, subject: Subject, lease: Addressing): Plan {
  assertCarried(lease.ips, config);
  const linkLocal = config.gatewayMode === "link-local";
  const { ips, routes } = linkLocal
    ? viaLinkLocal(lease, subject.hostMac)
    : { ips: lease.ips.map((ip) => ({ ...ip, interface: 1 })), routes: lease.routes };
  const { owner, netns } = subject;
  const sides = linkLocal ? linkLocalSides(ips, routes, subject) : subnetSides(ips, routes, config, subject);
  const parts: Part[] = [
    planVeth(config, subject, { sysctls: sides.sysctls }),
    { kind: "host", ...sides.host, forwarding: familiesOf(ips) },
    planPod(subject, { sysctls: planPodSysctls(owner.ifname, ips, config.enabledad), ...sides.pod }),
    ...planFirewall(config, lease.ips),
  ];
  return { ips, routes, attachment: { owner, netns, parts } };
}

/** CniError 7 where an address has no gateway of its family, nor one that says there is none. */
function assertGateways(ips: readonly ResultIp[]): void {
  const suits = ({ address, gateway }: ResultIp): boolean =>
    gateway !== undefined && (gateway.family === address.ip.family || isUnspecified(gateway));
  const lacking = ips.find((each) => !suits(each));
  if (lacking) {
    const { address, gateway } = lacking;
    throw new CniError(
      Code.InvalidConfig,
      `ptp needs a gateway for ${formatPrefix(address)} and IPAM gave ` +
        (gateway ? `${formatIp(gateway)}, which is of another family` : "none"),
    );
  }
}

/**
 * The reference's form: the host veth carries the subnet's gateway address, and everything, neighbours included, goes
 * through it.
 */
function subnetSides(
  ips: ResultIp[],
  routes: ResultRoute[],
  { enabledad }: PtpConfig,
  { hostVeth, hostMac }: Subject,
): Sides {
  assertGateways(ips);
  const gateways = uniqueIps(ips.map(({ gateway }) => gateway!)).filter((gateway) => !isUnspecified(gateway));
  // another router of the subnet is reached through the link as well, though no route says so
  const throughLink = (route: Route): Route =>
    route.gw &&
    !gateways.some((gateway) => sameIp(gateway, route.gw!)) &&
    ips.some(({ address }) => address.ip.family === route.gw!.family && contains(networkOf(address), route.gw!))
      ? { ...route, onlink: true }
      : route;
  // the kernel must not add the connected route, which would look for neighbours on the link
  const toGateways = gateways.map((gateway): Route => ({
    dst: hostPrefix(gateway),
    scope: scopeOfLink(gateway),
    src: ips.find((ip) => sameIp(ip.gateway!, gateway))!.address.ip,
  }));
  const toSubnets = ips.map(({ address, gateway }): Route => ({
    dst: networkOf(address),
    ...(!isUnspecified(gateway!) && { gw: gateway! }),
    src: address.ip,
  }));
  const own = [...toGateways, ...toSubnets];
  return {
    pod: {
      addresses: planAddresses(ips, { dad: enabledad, noPrefixRoute: true }),
      routes: [...own, ...planRoutes(routes, ips, own).map(throughLink)],
      // an IPv6 neighbour that is asked before it listens answers a second late
      neighbours: gateways.filter(({ family }) => family === 6).map((ip) => ({ ip, mac: hostMac })),
    },
    sysctls: [{ path: `net/ipv6/conf/${hostVeth}/accept_dad`, value: "0", optional: true }],
    host: {
      addresses: gateways.map((gateway) => ({ prefix: hostPrefix(gateway) })),
      routes: uniqueIps(ips.map(({ address }) => address.ip)).map((ip) => ({
        dst: hostPrefix(ip),
        ...(ip.family === 4 && { scope: RT_SCOPE.HOST }),
      })),
    },
  };
}

/** IPv6 routes have no scopes. */
const scopeOfLink = (ip: Ip): number => (ip.family === 4 ? RT_SCOPE.LINK : RT_SCOPE.UNIVERSE);

/** The next hop every pod has in link-local mode: nobody has this address, the host veth answers for it. */
const LINK_LOCAL_GATEWAY = parseIp("169.254.1.1")!;

function linkLocalGateway(family: Family, hostMac: string): Ip {
  if (family === 4) return LINK_LOCAL_GATEWAY;
  if (hostMac !== "") return eui64LinkLocal(hostMac);
  throw new CniError(
    Code.InvalidConfig,
    "prevResult.interfaces: the host's end of the veth pair has no MAC address, which tells the IPv6 gateway",
  );
}

/** The lease as a link-local pod has it: single addresses, and a default route per family through the host veth. */
function viaLinkLocal({ ips, routes }: Addressing, hostMac: string): Pick<Plan, "ips" | "routes"> {
  const single = ips.map(({ address }) => ({
    address: hostPrefix(address.ip),
    gateway: linkLocalGateway(address.ip.family, hostMac),
    interface: 1,
  }));
  const defaults = familiesOf(ips).map((family) => ({
    dst: defaultPrefix(family),
    gw: linkLocalGateway(family, hostMac),
  }));
  const others = routes.filter(({ dst, table }) => !isDefault(dst) || table !== undefined);
  return { ips: single, routes: [...defaults, ...others] };
}

/** Pure layer 3: no subnet on the link; the pod's only neighbour is the host veth, known from the start. */
function linkLocalSides(ips: ResultIp[], routes: ResultRoute[], { hostVeth, hostMac }: Subject): Sides {
  const families = familiesOf(ips);
  const v6 = families.includes(6);
  const toGateway: Route[] = families.includes(4)
    ? [{ dst: hostPrefix(LINK_LOCAL_GATEWAY), scope: RT_SCOPE.LINK }]
    : [];
  return {
    pod: {
      addresses: planAddresses(ips, {}),
      routes: [
        ...toGateway,
        ...planRoutes(routes, ips).map((route) => ({
          ...route,
          ...(route.gw && !isGateway(route.gw, hostMac) && { onlink: true }),
        })),
      ],
      // no first packet waits for an answer, which proxy_arp only gives while the host has a route to 169.254.1.1
      neighbours: families.map((family) => ({ ip: linkLocalGateway(family, hostMac), mac: hostMac })),
    },
    sysctls: [
      { path: `net/ipv4/conf/${hostVeth}/proxy_arp`, value: "1" },
      { path: `net/ipv4/neigh/${hostVeth}/proxy_delay`, value: "0" },
      ...(v6
        ? [
            { path: `net/ipv6/conf/${hostVeth}/addr_gen_mode`, value: "1" },
            { path: `net/ipv6/conf/${hostVeth}/accept_dad`, value: "0", optional: true },
          ]
        : []),
    ],
    host: {
      addresses: v6 ? [{ prefix: { ip: linkLocalGateway(6, hostMac), length: 64 } }] : [],
      routes: ips.map(({ address }) => ({ dst: address, ...(address.ip.family === 4 && { scope: RT_SCOPE.LINK }) })),
    },
  };
}

const isGateway = (ip: Ip, hostMac: string): boolean => sameIp(ip, linkLocalGateway(ip.family, hostMac));

function interfaces({ attachment: { netns, parts } }: Plan, made: Made): ResultInterface[] {
  const { host, pod } = findPart(parts, "veth")!;
  const { mtu } = made.veth!;
  return [
    { name: host.name, mac: host.mac, mtu },
    { name: pod.name, mac: pod.mac, mtu, sandbox: netns },
  ];
}

export const ptp: InterfacePlugin<PtpConfig> = {
  name: "ptp",
  kinds: ["veth", "host", "pod"],
  optional: ["masquerade", "ports"],
  schema: ptpConfig,
  needsIpam: true,
  read: (call) => readConfig(ptpConfig, call, idlePorts),
  asked: (config) => planFirewall(config, []),
  plan: planPtp,
  interfaces,
};

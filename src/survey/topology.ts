import { HostView } from "../attachment/host-view.ts";
import { CniError } from "../cni/error.ts";
import { parseLeniently } from "../cni/reading.ts";
import type { Result } from "../cni/result.ts";
import { optional, shape } from "../cni/schema.ts";
import { parseVersion } from "../cni/versions.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { findText } from "../kernel/file.ts";
import { compareIps, formatIp, formatPrefix, type Ip, isDefault, isLinkLocal, uniqueIps } from "../net/ip.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import { type KernelRoute, RT_TABLE_MAIN } from "../netlink/rtnetlink/route.ts";
import { portMappingList } from "../plugins/port-mappings.ts";
import { decodePrevResult } from "../protocol/result-shapes.ts";
import { podTitle } from "./choose.ts";
import type { Surveyed } from "./surveyed.ts";

/** A pod's attachment as it is drawn; all texts are for people. */
export interface MappedPod {
  /** `namespace/name`, else the container; with the interface where it is not eth0 */
  title: string;
  network: string;
  addresses: string[];
  /** the host's end of its link */
  link: string;
  /** what is out of the ordinary: "VLAN 100", "isolated", "down" */
  notes: string[];
  isMasqueraded: boolean;
  /** `8080/tcp`, and the port of the pod it leads to */
  ports: { host: string; pod: number }[];
}

/** How pods are connected, in the order in which they are drawn. */
const kinds = ["routed", "bridge", "past the host"] as const;

/** Pods that are plugged into one bridge, or are routed, or are reached past the host. */
export interface Group {
  /** the bridge's name, else the network's */
  name: string;
  kind: (typeof kinds)[number];
  /** of the bridge; else gateways the pods have */
  addresses: string[];
  /** of the bridge */
  mtu?: number;
  isDown: boolean;
  /** how many pods it has; `fold` leaves out some */
  size: number;
  pods: MappedPod[];
}

/** A link by which the node reaches the world. */
export interface Uplink {
  name: string;
  addresses: string[];
  gateways: string[];
}

/** The pod network of a node. */
export interface Topology {
  hostname: string;
  uplinks: Uplink[];
  /** `10.244.0.0/24 via 172.18.0.2`: what is behind other nodes */
  others: string[];
  /** networks with masqueraded pods, and how many */
  masqueraded: { network: string; pods: number }[];
  /** ports of the node, and where they lead to */
  ports: { host: string; pod: string; port: number }[];
  groups: Group[];
  /** attachments of pods that are gone, which are not drawn */
  gone: number;
}

/** Reads links, addresses and routes of the host once, and places the attachments among them. */
export function readTopology(attachments: readonly Surveyed[]): Topology {
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const { links, addresses, routes: all } = new HostView(host);
  host.close();
  const routes = all.filter(({ table }) => table === RT_TABLE_MAIN);
  const addressesOf = (index: number): string[] =>
    addresses
      .filter((each) => each.index === index && !isLinkLocal(each.prefix.ip))
      .map(({ prefix }) => formatPrefix(prefix));
  const uplinks = links
    .map((link) => ({ link, gateways: defaultsThrough(link, routes) }))
    .filter(({ gateways }) => gateways.length > 0);
  const groups = groupsOf(
    attachments.filter(({ state }) => state !== "gone"),
    links,
    addressesOf,
  );
  const pods = groups.flatMap((group) => group.pods);
  const masqueraded = pods.filter(({ isMasqueraded }) => isMasqueraded).map((pod) => pod.network);
  return {
    hostname: (findText("/proc/sys/kernel/hostname") ?? "").trim() || "node",
    uplinks: uplinks.map(({ link, gateways }) => ({ name: link.name, addresses: addressesOf(link.index), gateways })),
    others: routes
      .filter(({ dst, gw }) => gw && !isDefault(dst))
      .map(({ dst, gw }) => `${formatPrefix(dst)} via ${formatIp(gw!)}`),
    masqueraded: [...new Set(masqueraded)].map((network) => ({
      network,
      pods: masqueraded.filter((other) => other === network).length,
    })),
    ports: pods.flatMap(({ title, ports }) =>
      ports.map(({ host: port, pod }) => ({ host: port, pod: title, port: pod })),
    ),
    groups,
    gone: attachments.filter(({ state }) => state === "gone").length,
  };
}

/** Gateways of default routes through a link; the link itself where such a route has none. */
const defaultsThrough = ({ index, name }: Link, routes: readonly KernelRoute[]): string[] => [
  ...new Set(
    routes
      .filter((route) => isDefault(route.dst) && route.index === index)
      .map(({ gw }) => (gw ? formatIp(gw) : `dev ${name}`)),
  ),
];

function groupsOf(
  attachments: readonly Surveyed[],
  links: readonly Link[],
  addressesOf: (index: number) => string[],
): Group[] {
  const groups = new Map<string, Group>();
  const byName = new Map(links.map((link) => [link.name, link]));
  const byIndex = new Map(links.map((link) => [link.index, link]));
  for (const attached of attachments.toSorted(byAddress)) {
    const result = resultOf(attached);
    const link = attached.link ?? hostLinkOf(result, byName);
    const bridge = link?.master === undefined ? undefined : byIndex.get(link.master);
    const name = bridge?.name ?? attached.owner.network;
    const kind = bridge ? "bridge" : link ? "routed" : "past the host";
    const key = `${kind} ${name}`;
    const group = groups.get(key) ?? {
      name,
      kind,
      addresses: bridge ? addressesOf(bridge.index) : [],
      ...(bridge && { mtu: bridge.mtu }),
      isDown: bridge !== undefined && !bridge.up,
      size: 0,
      pods: [],
    };
    if (!bridge) group.addresses = [...new Set([...group.addresses, ...gatewaysOf(result)])];
    group.pods.push(podOf(attached, link, result));
    group.size++;
    groups.set(key, group);
  }
  return [...groups.values()].toSorted(
    (a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || (a.name < b.name ? -1 : 1),
  );
}

const byAddress = ({ addresses: [a] }: Surveyed, { addresses: [b] }: Surveyed): number =>
  a && b ? compareIps(a, b) : Number(a === undefined) - Number(b === undefined);

/** With so many pods of each group at most; one more takes no more room than the count of those that are left out. */
export const fold = (topology: Topology, most: number): Topology => ({
  ...topology,
  groups: topology.groups.map((group) => ({
    ...group,
    pods: group.size > most + 1 ? group.pods.slice(0, most) : group.pods,
  })),
});

/** What a group is, in words. */
export function describeGroup({ kind, addresses, mtu, isDown, size }: Group): string {
  const words = [
    [kind, ...(kind === "bridge" ? addresses : [])].join(" "),
    ...(kind !== "bridge" && addresses.length > 0 ? [`gateway ${addresses.join(", ")}`] : []),
    ...(mtu === undefined ? [] : [`MTU ${mtu}`]),
    ...(isDown ? ["DOWN"] : []),
    `${size} ${size === 1 ? "pod" : "pods"}`,
  ];
  return words.join(", ");
}

const gatewaysOf = (result: Result | undefined): string[] =>
  uniqueIps((result?.ips ?? []).flatMap(({ gateway }) => gateway ?? []))
    .filter((ip) => !isLinkLocal(ip))
    .map(formatIp);

function resultOf({ cached }: Surveyed): Result | undefined {
  if (!cached) return undefined;
  try {
    return decodePrevResult(cached.result, parseVersion(cached.cniVersion));
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

/** The reference's link has no alias: the runtime's result names it. */
const hostLinkOf = (result: Result | undefined, byName: ReadonlyMap<string, Link>): Link | undefined =>
  (result?.interfaces ?? [])
    .filter(({ sandbox }) => !sandbox)
    .map(({ name }) => byName.get(name))
    .find((link) => link?.kind === "veth");

const runtimeArguments = shape({ portMappings: optional(portMappingList) });

function podOf(attached: Surveyed, link: Link | undefined, result: Result | undefined): MappedPod {
  const { owner, cached, rules, addresses } = attached;
  const { portMappings = [] } = parseLeniently(runtimeArguments, cached?.capabilityArgs ?? {}).value;
  const [plugin = {}] = cached?.plugins ?? [];
  const known: readonly Ip[] = addresses.length > 0 ? addresses : (result?.ips ?? []).map(({ address }) => address.ip);
  return {
    title: podTitle(attached) + (owner.ifname === "eth0" ? "" : ` ${owner.ifname}`),
    network: owner.network,
    addresses: known.map(formatIp),
    link: link?.name ?? "",
    notes: [
      ...(typeof plugin["vlan"] === "number" && plugin["vlan"] > 0 ? [`VLAN ${plugin["vlan"]}`] : []),
      ...(link?.isolated ? ["isolated"] : []),
      ...(link?.hairpin ? ["hairpin"] : []),
      ...(link && !link.up ? ["down"] : []),
      ...(link || plugin["type"] === undefined ? [] : [String(plugin["type"])]),
    ],
    isMasqueraded: rules.some((rule) => rule.includes(" in map masquerade")),
    ports: portMappings.map(({ hostPort, protocol, containerPort }) => ({
      host: `${hostPort}/${protocol}`,
      pod: containerPort,
    })),
  };
}

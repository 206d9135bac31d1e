import type { IpLink, IpRoute, Namespace } from "./namespace.ts";

/**
 * The comparable part of a namespace's network: what a plugin could have changed, without counters, indexes and timers.
 */
export interface HostState {
  links: Record<string, unknown>[];
  routes: IpRoute[];
  rules: unknown[];
  neighbours: unknown[];
  ruleset: unknown[];
  qdiscs: unknown[];
  forwarding: string;
}

/**
 * What several commands print, read by one program: a test that compares after every step would else spend its time
 * starting them.
 */
export async function readTogether(namespace: Namespace, commands: readonly string[]): Promise<string[]> {
  const text = await namespace.must("sh", "-ec", commands.join(" && echo , && "));
  return text.split(/^,$/m).map((part) => part.trim());
}

const STATE = [
  "ip -j -d address show",
  "ip -j -4 route show table all",
  "ip -j -6 route show table all",
  "ip -j rule show",
  "ip -j neighbour show nud permanent",
  "nft -j list ruleset",
  "tc -j qdisc show",
  "cat /proc/sys/net/ipv4/ip_forward",
  "cat /proc/sys/net/ipv6/conf/all/forwarding",
];

/** Reads the comparable state of a namespace. */
export async function hostState(namespace: Namespace): Promise<HostState> {
  const parts = (await readTogether(namespace, STATE)).map((part) => JSON.parse(part || "[]") as unknown);
  const [links, routes4, routes6, rules, neighbours, ruleset, qdiscs, forward4, forward6] = parts;
  const { nftables } = ruleset as { nftables: object[] };
  return {
    links: (links as IpLink[]).map(comparableLink),
    routes: [...(routes4 as IpRoute[]), ...(routes6 as IpRoute[])].filter(isChosen).map(comparableRoute).sort(byText),
    rules: rules as unknown[],
    neighbours: neighbours as unknown[],
    ruleset: nftables.filter((entry) => !("metainfo" in entry)).map(withoutCounters),
    // every link has one of the kernel's, unless somebody chose another
    qdiscs: (qdiscs as { kind: string }[]).filter(({ kind }) => kind !== "noqueue"),
    forwarding: `${forward4} ${forward6}`,
  };
}

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** A link without its index, timers and counters. */
function comparableLink(link: IpLink): Record<string, unknown> {
  const addresses = link.addr_info
    .filter(({ local }) => !local.startsWith("fe80:"))
    .map(({ family, local, prefixlen, scope, broadcast }) => ({ family, local, prefixlen, scope, broadcast }));
  const { ifname, address, mtu, master, ifalias, promiscuity, txqlen } = link;
  const flags = withoutCarrier(link.flags);
  const { info_kind: kind, info_slave_data: port } = link.linkinfo ?? { info_kind: "" };
  const bridge = kind === "bridge" ? pick(link.linkinfo?.info_data ?? {}, ["vlan_filtering", "stp_state"]) : undefined;
  const slave = port && pick(port, ["hairpin", "isolated", "learning", "flood"]);
  return { ifname, kind, address, mtu, flags, master, ifalias, promiscuity, txqlen, addresses, bridge, slave };
}

/** Flags without those that follow a link's carrier, which a bridge's changes some time after its ports did. */
export const withoutCarrier = (flags: string[]): string[] =>
  flags.filter((flag) => !["linkdown", "NO-CARRIER", "LOWER_UP"].includes(flag));

const pick = (from: Record<string, unknown>, keys: string[]): Record<string, unknown> =>
  Object.fromEntries(keys.map((key) => [key, from[key]]));

/**
 * False for routes the kernel makes of addresses by itself, some of them only when duplicate address detection is over.
 */
const isChosen = (route: IpRoute): boolean =>
  route.table !== "local" && !route.dst.startsWith("fe80:") && !route.dst.startsWith("ff00:");

function comparableRoute(route: IpRoute): IpRoute {
  const {
    expires: _expires,
    used: _used,
    age: _age,
    ...rest
  } = route as IpRoute & { expires?: number; used?: number; age?: number };
  return { ...rest, flags: withoutCarrier(route.flags) } as IpRoute;
}

/** Ruleset entries without handles, and counters set to zero. */
function withoutCounters(entry: unknown): unknown {
  return JSON.parse(JSON.stringify(entry), (key, value: unknown) => {
    if (key === "handle") return undefined;
    if (key === "counter" && typeof value === "object" && value !== null) return { packets: 0, bytes: 0 };
    return value;
  });
}

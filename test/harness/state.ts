import type { IpLink, IpRoute, Namespace } from "./namespace.ts";

/** The comparable part of a namespace's network: what a plugin could have changed, without counters, indexes and timers. */
export interface HostState {
  links: Record<string, unknown>[];
  routes: IpRoute[];
  rules: unknown[];
  neighbours: unknown[];
  ruleset: unknown[];
  forwarding: string;
}

/** Reads the comparable state of a namespace. */
export async function hostState(namespace: Namespace): Promise<HostState> {
  const [links, routes4, routes6, rules, neighbours, ruleset, forward4, forward6] = await Promise.all([
    namespace.links(),
    namespace.routes(4, "all"),
    namespace.routes(6, "all"),
    namespace.ipJson<unknown[]>("rule show"),
    namespace.ipJson<{ dst: string; dev: string; state: string[]; lladdr?: string }[]>("neighbour show nud permanent"),
    namespace.ruleset(),
    namespace.sysctl("net/ipv4/ip_forward"),
    namespace.sysctl("net/ipv6/conf/all/forwarding"),
  ]);
  return {
    links: links.map(comparableLink),
    routes: [...routes4, ...routes6].filter(isChosen).map(comparableRoute).sort(byText),
    rules,
    neighbours,
    ruleset: ruleset.map(withoutCounters),
    forwarding: `${forward4} ${forward6}`,
  };
}

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** A link without its index, timers and counters. */
function comparableLink(link: IpLink): Record<string, unknown> {
  const addresses = link.addr_info.filter(({ local }) => !local.startsWith("fe80:")).map(({ family, local, prefixlen, scope, broadcast }) => ({ family, local, prefixlen, scope, broadcast }));
  const { ifname, address, mtu, master, ifalias, promiscuity, txqlen } = link;
  const flags = withoutCarrier(link.flags);
  const { info_kind: kind, info_slave_data: port } = link.linkinfo ?? { info_kind: "" };
  const bridge = kind === "bridge" ? pick(link.linkinfo?.info_data ?? {}, ["vlan_filtering", "stp_state"]) : undefined;
  const slave = port && pick(port, ["hairpin", "isolated", "learning", "flood"]);
  return { ifname, kind, address, mtu, flags, master, ifalias, promiscuity, txqlen, addresses, bridge, slave };
}

/** Flags without those that follow a link's carrier, which a bridge's changes some time after its ports did. */
export const withoutCarrier = (flags: string[]): string[] => flags.filter((flag) => !["linkdown", "NO-CARRIER", "LOWER_UP"].includes(flag));

const pick = (from: Record<string, unknown>, keys: string[]): Record<string, unknown> => Object.fromEntries(keys.map((key) => [key, from[key]]));

/** False for routes the kernel makes of addresses by itself, some of them only when duplicate address detection is over. */
const isChosen = (route: IpRoute): boolean => route.table !== "local" && !route.dst.startsWith("fe80:") && !route.dst.startsWith("ff00:");

function comparableRoute(route: IpRoute): IpRoute {
  const { expires: _expires, used: _used, age: _age, ...rest } = route as IpRoute & { expires?: number; used?: number; age?: number };
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

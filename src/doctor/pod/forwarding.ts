import { findLinkTowards, isLocal } from "../../kernel/route-lookup.ts";
import { formatIp } from "../../net/ip.ts";
import { findSysctl } from "../../kernel/sysctl.ts";
import { fault, type Finding, isFaulty, orFine, warn } from "../finding.ts";
import { linkNamed, linkTowards, type Look } from "../look.ts";
import { partOf, type PodView } from "../pod-view.ts";
import { differencesOf, type Layer } from "./layer.ts";

/** What the kernel must let through for it. */
export const forwarding: Layer = (view, look) => {
  const found = differencesOf(view, "forwarding");
  const host = linkNamed(look, view.hostLink?.name);
  const way = linkTowards(look, view.hostLink)?.name;
  const families = new Set(view.addresses.map(({ family }) => family));
  const routed = (partOf(view, "host")?.forwarding ?? []).length > 0;
  if (!routed || way === undefined) return found;
  const off = (path: string, what: string): Finding[] =>
    findSysctl(path) === "0"
      ? [fault("forwarding", what, { expected: "1", is: "0", mend: `sysctl -w ${path.replaceAll("/", ".")}=1` })]
      : [];
  if (!isFaulty(found)) {
    if (families.has(4)) found.push(...off(`net/ipv4/conf/${way}/forwarding`, `${way} does not forward IPv4`));
    if (families.has(6)) found.push(...off(`net/ipv6/conf/${way}/forwarding`, `${way} does not forward IPv6`));
  }
  const filter = filterOf(way);
  if (filter === "strict") found.push(...filtered(view, look, way));
  if (families.has(6) && findSysctl(`net/ipv6/conf/${way}/disable_ipv6`) === "1") {
    found.push(
      fault("forwarding", `IPv6 is switched off on ${way}`, { mend: `sysctl -w net.ipv6.conf.${way}.disable_ipv6=0` }),
    );
  }
  if (families.has(6) && host && Number(findSysctl(`net/ipv6/conf/${host.name}/accept_ra`)) > 0) {
    found.push(
      warn("forwarding", `${host.name} takes router advertisements: the pod behind it can configure this node`, {
        mend: `sysctl -w net.ipv6.conf.${host.name}.accept_ra=0`,
      }),
    );
  }
  const on = [...families].sort().map((family) => `IPv${family}`);
  const checked = families.has(4) ? `; rp_filter ${filter} on ${way}` : "";
  return orFine(found, "forwarding", `${on.join(" and ")} on${checked}`);
};

/** Documentation/networking/ip-sysctl.rst: of a link's and that of all the larger counts. */
function filterOf(link: string): "off" | "strict" | "loose" {
  const values = ["all", link].map((name) => Number(findSysctl(`net/ipv4/conf/${name}/rp_filter`) ?? 0));
  return (["off", "strict", "loose"] as const)[Math.max(...values)] ?? "off";
}

/** A strict filter drops what comes by another link than answers would leave by. */
function filtered(view: PodView, { host }: Look, way: string): Finding[] {
  const expected = partOf(view, "gateways")?.vlanInterface?.name ?? way;
  return view.addresses
    .filter(({ family }) => family === 4)
    .flatMap((ip): Finding[] => {
      const back = findLinkTowards(host, ip);
      if (back === expected || isLocal(host, ip)) return [];
      const is = back === undefined ? "no route" : `dev ${back}`;
      return [
        fault("forwarding", `the node drops what ${formatIp(ip)} sends: rp_filter of ${way} is strict`, {
          expected: `a route back by dev ${expected}, or a loose filter`,
          is,
          mend: `mend the route, or: sysctl -w net.ipv4.conf.${way}.rp_filter=2`,
        }),
      ];
    });
}

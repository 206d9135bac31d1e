import { findLinkTowards } from "../../kernel/route-lookup.ts";
import { formatIp, type Ip } from "../../net/ip.ts";
import { fault, isFaulty, orFine, skip } from "../finding.ts";
import { ipKey, linkNamed, linkTowards } from "../look.ts";
import { partOf } from "../pod-view.ts";
import { differencesOf, type Layer, mendOf } from "./layer.ts";

/** Where packets for the pod leave the node by: its own link, or the bridge it is plugged into. */
export const route: Layer = (view, look) => {
  const found = [...differencesOf(view, "route")];
  const host = linkNamed(look, view.hostLink?.name);
  const way = linkTowards(look, view.hostLink)?.name;
  if (view.differences.some(({ kind }) => kind === "gateways") && !isFaulty(found)) {
    return [skip("route", "the node's own way to the pod is by its gateway, which is not as it was made")];
  }
  const expected = partOf(view, "gateways")?.vlanInterface?.name ?? way;
  if (expected !== undefined && linkNamed(look, expected)?.up === false && !isFaulty(found)) {
    return [skip("route", `${expected}, by which the node reaches it, is down`)];
  }
  const isRouted = partOf(view, "gateways") !== undefined || partOf(view, "veth")?.plug === undefined;
  if (host && way !== undefined && isRouted && !isFaulty(found)) {
    for (const ip of view.addresses) {
      if (look.holders.has(ipKey(ip))) continue; // which is said of the address
      const led = findLinkTowards(look.host, ip);
      if (led === expected) continue;
      found.push(
        fault("route", `the node sends what is for ${formatIp(ip)} ${led === undefined ? "nowhere" : `to ${led}`}`, {
          expected: `dev ${expected}`,
          is: led === undefined ? "no route" : `dev ${led} (see: ip route get ${formatIp(ip)})`,
          mend: view.differences.length > 0 ? mendOf(view) : mendOfWay(ip, way === host.name ? way : undefined),
        }),
      );
    }
  }
  return orFine(found, "route", way === undefined ? "as it was made" : `the node reaches it by ${way}`);
};

/** A pod that is not on a bridge has a route of its own, of which no other takes the place. */
const mendOfWay = (ip: Ip, link: string | undefined): string =>
  link === undefined
    ? `remove the route or rule that leads there: ip route get ${formatIp(ip)}`
    : `ip route replace ${formatIp(ip)} dev ${link}  # if that does not help: ip rule`;

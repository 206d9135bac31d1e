import type { Shaping } from "../../attachment/attachment.ts";
import { formatIp } from "../../net/ip.ts";
import { orFine } from "../finding.ts";
import { partOf, type PodView } from "../pod-view.ts";
import { differencesOf, type Layer } from "./layer.ts";

// What plugins behind the one that makes the link have made, as their parts say.

/** The VRF its interface is in. */
export const vrf: Layer = (view) => {
  const wanted = partOf(view, "vrf");
  return wanted ? orFine(differencesOf(view, "vrf"), "vrf", `${ifnameOf(view)} is in VRF ${wanted.name}`) : [];
};

/** Where what it sends from its own addresses leaves by. */
export const sourceRoutes: Layer = (view) => {
  const wanted = partOf(view, "sourceRoutes");
  if (!wanted) return [];
  const from = wanted.addresses.map(({ address }) => formatIp(address.ip)).join(", ");
  return orFine(differencesOf(view, "source"), "source", `what comes from ${from} leaves by ${ifnameOf(view)}`);
};

/** How fast it may receive and send. */
export const bandwidth: Layer = (view) => {
  const { ingress, egress } = partOf(view, "bandwidth") ?? {};
  if (!ingress && !egress) return [];
  const limits = [
    ...(ingress ? [`receives at most ${formatRate(ingress)}`] : []),
    ...(egress ? [`sends at most ${formatRate(egress)}`] : []),
  ];
  return orFine(differencesOf(view, "bandwidth"), "bandwidth", limits.join(", "));
};

/** As configurations and network people have it: decimal, in bits. */
function formatRate({ rate }: Shaping): string {
  const bits = rate * 8;
  const [size, unit] = (
    [
      [1e9, "Gbit/s"],
      [1e6, "Mbit/s"],
      [1e3, "kbit/s"],
    ] as const
  ).find(([least]) => bits >= least) ?? [1, "bit/s"];
  return `${Number((bits / size).toFixed(1))} ${unit}`;
}

/** Sysctls of its namespace and settings of its interface. */
export const tuning: Layer = (view) => {
  const { sysctls = [], link = {} } = partOf(view, "tuning") ?? {};
  const tuned = [...sysctls.map(({ key }) => key), ...Object.keys(link)];
  return tuned.length === 0 ? [] : orFine(differencesOf(view, "tuning"), "tuning", tuned.join(", "));
};

const ifnameOf = ({ attached }: PodView): string => attached.owner.ifname;

import type { Ip } from "../net/ip.ts";
import { formatPrefix } from "../net/ip.ts";
import { fault, type Finding, skip, warn } from "./finding.ts";
import { subnetOf } from "./firewall-layer.ts";
import { findLegacy, type Legacy } from "./firewall/legacy.ts";
import { partOf, type PodView } from "./pod-view.ts";

const LAYER = "firewall";

/** What older iptables has on this node, by family. */
export type LegacyTables = Record<4 | 6, Legacy | undefined>;

/** Reads them, once for all pods. */
export const readLegacy = (): LegacyTables => ({ 4: findLegacy(4), 6: findLegacy(6) });

/** What older iptables may do with a pod's packets: only a policy with no rule beside it is sure. */
export function examineLegacy(view: PodView, legacy: LegacyTables): Finding[] {
  if ((partOf(view, "host")?.forwarding ?? []).length === 0) return [];
  return view.addresses.flatMap((ip) => {
    const found = legacy[ip.family];
    return found ? judge(found, view, ip) : [];
  });
}

function judge({ program, tables, rules }: Legacy, view: PodView, ip: Ip): Finding[] {
  if (!rules) {
    const what = `${program} has tables (${tables.join(", ")}) that were not looked at`;
    return [warn(LAYER, what, { mend: `install ${program}-save, then look at what it prints` })];
  }
  const where = `chain FORWARD of ${program}`;
  const subnet = formatPrefix(subnetOf(view, ip));
  const mend = `${program} -I FORWARD -s ${subnet} -j ACCEPT; ${program} -I FORWARD -d ${subnet} -j ACCEPT`;
  if (rules.drops && rules.forwarding === 0) {
    return [fault(LAYER, `${where} drops what the pod sends out (policy drop, and it has no rule)`, { mend })];
  }
  if (rules.drops) {
    const unknown = `its ${rules.forwarding} rules were not followed`;
    return [warn(LAYER, `${where} drops what no rule of it accepts; ${unknown}`, { mend: `${program} -S FORWARD` })];
  }
  return rules.all > 0 ? [skip(LAYER, `${program} has ${rules.all} rules, which were not followed`)] : [];
}

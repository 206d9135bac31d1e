import { lostLeases } from "../../survey/lease-loss.ts";
import { formatIp, isLinkLocal } from "../../net/ip.ts";
import { fault, type Finding, orFine } from "../finding.ts";
import { ipKey } from "../look.ts";
import { formatTime } from "../since.ts";
import { type Layer, mendOf } from "./layer.ts";

/** Its leases: there, and nobody else's. */
export const lease: Layer = ({ attached, addresses, title }, { leases }) => {
  const found = addresses.flatMap((ip): Finding[] => {
    if (isLinkLocal(ip)) return [];
    const others = (leases.get(ipKey(ip)) ?? []).filter(
      (each) => each.folder.network === attached.owner.network && !attached.leases.includes(each),
    );
    return others.map(({ holder, state, modified }) =>
      fault("lease", `${formatIp(ip)} is leased to ${holder ? holder.containerId : `nobody (the file is ${state})`}`, {
        expected: `container ${attached.owner.containerId}`,
        since: formatTime(modified),
        mend: `start ${title} anew: it gets an address of its own`,
      }),
    );
  });
  if (found.length === 0) {
    const missing = lostLeases(attached)?.ips ?? [];
    found.push(
      ...missing.map((ip) =>
        fault("lease", `${formatIp(ip)} is leased to nobody: the next pod may get it`, {
          mend: mendOf({ title, attached }),
        }),
      ),
    );
  }
  if (found.length === 0 && attached.leases.length === 0) return [];
  return orFine(found, "lease", "in place, and nobody else's");
};

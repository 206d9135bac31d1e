import { formatIp, isLinkLocal, sameIp } from "../../net/ip.ts";
import { fault, type Finding, orFine } from "../finding.ts";
import { ipKey } from "../look.ts";
import type { PodView } from "../pod-view.ts";
import type { Layer } from "./layer.ts";

/** Its leases: there, and nobody else's. */
export const lease: Layer = ({ attached, addresses, title }, { leases }) => {
  const found = addresses.flatMap((ip): Finding[] => {
    if (isLinkLocal(ip)) return [];
    const others = (leases.get(ipKey(ip)) ?? []).filter(
      (each) => each.folder.network === attached.owner.network && !attached.leases.includes(each),
    );
    return others.map(({ holder, state }) =>
      fault("lease", `${formatIp(ip)} is leased to ${holder ? holder.containerId : `nobody (the file is ${state})`}`, {
        expected: `container ${attached.owner.containerId}`,
        mend: `start ${title} anew: it gets an address of its own`,
      }),
    );
  });
  const missing = attached.record?.ips.filter((ip) => !attached.leases.some((each) => sameIp(each.ip, ip))) ?? [];
  const hasLeases = isHostLocal(attached);
  if (found.length === 0 && hasLeases) {
    found.push(
      ...missing.map((ip) =>
        fault("lease", `${formatIp(ip)} is leased to nobody: the next pod may get it`, {
          mend: `podwire repair ${title}`,
        }),
      ),
    );
  }
  if (found.length === 0 && attached.leases.length === 0) return [];
  return orFine(found, "lease", "in place, and nobody else's");
};

/** Its addresses come from leases, by what the runtime remembers. */
const isHostLocal = ({ cached }: PodView["attached"]): boolean =>
  (cached?.plugins ?? []).some(({ ipam }) => (ipam as { type?: unknown } | undefined)?.type === "host-local");

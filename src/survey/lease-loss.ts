import { isObject } from "../cni/schema.ts";
import { isHostLocal, parseLeaseFolder } from "../ipam/config.ts";
import type { LeaseFolder } from "../ipam/lease-folder.ts";
import { restoreLeases } from "../ipam/restore.ts";
import { formatIp, type Ip, sameIp } from "../net/ip.ts";
import type { Mended } from "../verbs/mend.ts";
import type { Surveyed } from "./surveyed.ts";

/** Addresses host-local gave an attachment, by podwire's record, of which it has no lease any more. */
export function lostLeases({ record, cached, leases }: Surveyed): { folder: LeaseFolder; ips: Ip[] } | undefined {
  const plugin = cached?.plugins.find(
    ({ type, ipam }) => type === "flannel" || (isObject(ipam) && isHostLocal(ipam["type"])),
  );
  const ips = record?.knowledge ? record.ips.filter((ip) => !leases.some((lease) => sameIp(lease.ip, ip))) : [];
  if (!plugin || ips.length === 0) return undefined;
  return { folder: parseLeaseFolder({ config: plugin, network: cached!.owner.network }), ips };
}

/** Leases them again, or says that it would; what somebody else has meanwhile is left. */
export function mendLeases(attached: Surveyed, dryRun: boolean): Pick<Mended, "steps" | "left"> {
  const { folder, ips } = lostLeases(attached) ?? { ips: [] };
  const leased = dryRun || !folder ? ips : restoreLeases(folder, attached.owner, ips);
  return {
    steps: leased.map((ip) => ({ what: `lease ${formatIp(ip)} to it again` })),
    left: ips
      .filter((ip) => !leased.includes(ip))
      .map((ip) => `${formatIp(ip)} is leased to somebody else by now: restart the pod, and it gets another one`),
  };
}

import { findStat } from "../kernel/file.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { isHolder, readLease } from "./folder.ts";
import { hasLeft, type Life, lifeOf, type Liveness } from "../node/liveness.ts";
import { findRecord } from "../node/record.ts";
import { type Holder, type LeaseFolder, leasePath } from "./lease-folder.ts";

/** "torn": the file is no lease; "unreadable": whose it is cannot be read. Either blocks its address. */
export type LeaseState = Life | "torn" | "unreadable";

export interface Lease {
  ip: Ip;
  holder?: Holder;
  /** when the lease was made, in nanoseconds since 1970 */
  modified: bigint;
  state: LeaseState;
  /** its pod's namespace is no longer at its path, which alone proves nothing: a host veth may live */
  namespaceGone: boolean;
}

/** The lease file of an address, judged; undefined when there is none. */
export function judgeLease(folder: LeaseFolder, ip: Ip, liveness: Liveness): Lease | undefined {
  const holder = readLease(folder, ip);
  const modified = findStat(leasePath(folder, ip))?.mtime;
  if (holder === undefined || modified === undefined) return undefined;
  if (!isHolder(holder)) return { ip, modified, state: holder, namespaceGone: false };
  const record =
    holder.ifname === undefined
      ? undefined
      : findRecord(folder, { containerId: holder.containerId, ifname: holder.ifname });
  const known = record?.knowledge && record.ips.some((own) => formatIp(own) === formatIp(ip)) ? record : undefined;
  const namespaceGone = known !== undefined && hasLeft(known, liveness);
  const state = known ? lifeOf(known, liveness) : judgeUnknown(ip, modified, liveness);
  return { ip, holder, modified, state, namespaceGone };
}

/** A lease of the reference, or for a main plugin podwire knows nothing about. */
function judgeUnknown(ip: Ip, modified: bigint, liveness: Liveness): Life {
  if (liveness.addressInUse(ip)) return "live";
  return modified < liveness.bootTime() ? "gone" : "unknown";
}

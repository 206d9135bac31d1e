import { Code, CniError, messageOf } from "../cni/error.ts";
import { findStat, namesIn, removeFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { isHolder, leasedAddresses, readLease } from "./folder.ts";
import { pruneRecords } from "../node/record.ts";
import { asidePath } from "../node/record-folder.ts";
import { folderPath, type Holder, type LeaseFolder, type LeaseOwner } from "./lease-folder.ts";
import { explaining } from "./leases.ts";
import { type LeaseStore, withStore } from "./store.ts";

/**
 * GC: frees the addresses of every attachment that is not valid, nor `isWired`, and returns them. A file with the
 * container id alone stays while that container has any valid attachment; one that is no lease stays. What fails is
 * thrown at the end, as one error.
 */
export function collectLeases(
  folder: LeaseFolder,
  valid: readonly LeaseOwner[],
  { keepsRecords = false, isWired = () => false }: { keepsRecords?: boolean; isWired?: IsWired } = {},
): Ip[] {
  if (!linux.exists(folderPath(folder))) return [];
  // The beginning of a valid id counts as well: such a file may be a lease that was cut short
  const isContainer = (id: string): boolean => valid.some(({ containerId }) => containerId.startsWith(id));
  const stays = staying(valid, isWired);
  const isValid = ({ containerId, ifname }: Holder): boolean =>
    ifname === undefined ? isContainer(containerId) : stays({ containerId, ifname });
  return explaining(`cannot collect the leases in ${folderPath(folder)}`, () => {
    const { released, failures } = withStore(folder, (store) => {
      const outcome = releaseInvalid(store, isValid);
      if (!keepsRecords) pruneRecords(folder, isValid);
      removeOldDrafts(folder);
      store.takeCensus();
      return outcome;
    });
    if (failures.length > 0) throw new CniError(Code.Io, `cannot release ${failures.join("; ")}`);
    return released;
  });
}

/** True where an ADD made that attachment while GC was at work. */
export type IsWired = (attachment: LeaseOwner) => boolean;

/**
 * Whether GC leaves an attachment alone: looked at once. An ADD whose lease went before its link was there must not
 * find its record at its end.
 */
export function staying(valid: readonly LeaseOwner[], isWired: IsWired): IsWired {
  const known = new Map(valid.map(({ containerId, ifname }) => [`${containerId}:${ifname}`, true]));
  return (each) => {
    const key = `${each.containerId}:${each.ifname}`;
    const stays = known.get(key) ?? isWired(each);
    known.set(key, stays);
    return stays;
  };
}

function releaseInvalid(
  store: LeaseStore,
  isValid: (holder: Holder) => boolean,
): { released: Ip[]; failures: string[] } {
  const released: Ip[] = [];
  const failures: string[] = [];
  for (const ip of leasedAddresses(store.folder)) {
    const holder = readLease(store.folder, ip);
    if (!isHolder(holder) || isValid(holder)) continue;
    try {
      if (store.release(ip, holder)) released.push(ip);
    } catch (error) {
      failures.push(`${formatIp(ip)}: ${messageOf(error)}`);
    }
  }
  return { released, failures };
}

/** An ADD that is killed leaves its draft; one that runs is never this old. */
const DRAFT_NANOSECONDS = 3_600_000_000_000n;

function removeOldDrafts(folder: LeaseFolder): void {
  const now = BigInt(Date.now()) * 1_000_000n;
  for (const name of namesIn(asidePath(folder))) {
    const path = `${asidePath(folder)}/${name}`;
    const modified = name.startsWith(".new-") ? findStat(path)?.mtime : undefined;
    if (modified !== undefined && now - modified > DRAFT_NANOSECONDS) removeFile(path);
  }
}

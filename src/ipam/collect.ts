import { Code, CniError, messageOf } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { findStat, namesIn, removeFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { isHolder, leasedAddresses, readLease } from "./folder.ts";
import { listRecordedSince, pruneRecords } from "../node/record.ts";
import { asidePath } from "../node/record-folder.ts";
import { folderPath, type Holder, type LeaseFolder, type LeaseOwner } from "./lease-folder.ts";
import { parseLeaseFolder } from "./config.ts";
import { explaining } from "./leases.ts";
import { type LeaseStore, withStore } from "./store.ts";

/** The attachments a GC must leave alone; to be asked after what is decided about was listed. */
export type Kept = () => readonly LeaseOwner[];

/** What the runtime says is valid, and, as its list is from before, what ADDs have begun since this was called. */
export function keptBy(call: Invocation): Kept {
  const folder = parseLeaseFolder(call);
  const began = Date.now();
  return () => [...call.validAttachments, ...listRecordedSince(folder, began)];
}

/**
 * GC: frees the addresses of every attachment that is not valid and returns them. A file with the container id alone
 * stays while that container has any valid attachment; one that is no lease stays. What fails is thrown at the end, as
 * one error.
 */
export function collectLeases(folder: LeaseFolder, kept: Kept, { keepsRecords = false } = {}): Ip[] {
  if (!linux.exists(folderPath(folder))) return [];
  return explaining(`cannot collect the leases in ${folderPath(folder)}`, () => {
    const { released, failures } = withStore(folder, (store) => {
      const isValid = isAmong(kept()); // with the lock no ADD gets further
      const outcome = releaseInvalid(store, isValid);
      if (!keepsRecords) pruneRecords(folder, kept);
      removeOldDrafts(folder);
      store.takeCensus();
      return outcome;
    });
    if (failures.length > 0) throw new CniError(Code.Io, `cannot release ${failures.join("; ")}`);
    return released;
  });
}

function isAmong(valid: readonly LeaseOwner[]): (holder: Holder) => boolean {
  // The beginning of a valid id counts as well: such a file may be a lease that was cut short
  const isContainer = (id: string): boolean => valid.some(({ containerId }) => containerId.startsWith(id));
  const attachments = new Set(valid.map(({ containerId, ifname }) => `${containerId}:${ifname}`));
  return ({ containerId, ifname }) =>
    ifname === undefined ? isContainer(containerId) : attachments.has(`${containerId}:${ifname}`);
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

import { Code, CniError } from "../cni/error.ts";
import { compareIps } from "../net/ip.ts";
import { leasedAddresses } from "./folder.ts";
import type { LeaseFolder, LeaseOwner } from "./lease-folder.ts";
import { findRecord } from "../node/record.ts";
import type { Liveness } from "../node/liveness.ts";
import { judgeLease, type Lease } from "./judgement.ts";
import { findRange, formatSet, type RangeSet, sizeOf } from "./range.ts";
import type { Draft, LeaseStore } from "./store.ts";

/** Every lease of the folder, or of a range set, in order of address. */
export const listLeases = (folder: LeaseFolder, liveness: Liveness, set?: RangeSet): Lease[] =>
  leasedAddresses(folder)
    .filter((ip) => !set || findRange(set, ip))
    .sort(compareIps)
    .flatMap((ip) => judgeLease(folder, ip, liveness) ?? []);

/**
 * Frees the leases of pods that are provably gone, with all addresses such a pod has, and returns what it freed;
 * `inUse` is the draft of the ADD that needs them.
 */
export function takeBack(store: LeaseStore, leases: Lease[], inUse?: Draft): Lease[] {
  return leases.filter((lease) => {
    const { state, holder, ip } = lease;
    if (state !== "gone" || !holder || !store.release(ip, holder)) return false;
    const { containerId, ifname } = holder;
    if (ifname !== undefined) forgetAll(store, { containerId, ifname }, inUse);
    return true;
  });
}

function forgetAll(store: LeaseStore, owner: LeaseOwner, inUse: Draft | undefined): void {
  for (const ip of findRecord(store.folder, owner)?.ips ?? []) store.release(ip, owner);
  store.forget(owner, inUse);
}

/** The error of a range set that has no address left, with what a person needs to know about who has them. */
export function exhausted(folder: LeaseFolder, n: number, set: RangeSet, leases: Lease[]): CniError {
  const count = (is: (lease: Lease) => boolean): number => leases.filter(is).length;
  const torn = count(({ state }) => state === "torn" || state === "unreadable");
  // Without a single readable lease nobody will ever give an address back
  const code = leases.length > torn ? Code.TryAgainLater : Code.Internal;
  return new CniError(
    code,
    `no IP addresses available in range set ${n} (${formatSet(set)}) of network ${folder.network}: ` +
      `it has ${sizeOf(set)} addresses, ${leases.length} are used, ` +
      `${count(({ namespaceGone }) => namespaceGone)} of them by pods whose namespace is gone` +
      `${torn ? `, ${torn} are blocked by files that are no lease or cannot be read` : ""}; ` +
      `see who has them: podwire leases --data-dir ${folder.dataDir} --network ${folder.network}`,
  );
}

import { allKinds } from "../attachment/kinds.ts";
import type { Traces } from "../attachment/kind.ts";
import { Site } from "../attachment/site.ts";
import { newest } from "../cni/versions.ts";
import { isHolder, readLease } from "../ipam/folder.ts";
import { leasePath } from "../ipam/lease-folder.ts";
import { removeLease } from "../ipam/leases.ts";
import { withStore } from "../ipam/store.ts";
import { findLstat, removeFile } from "../kernel/file.ts";
import { exists, rmdir, S_IFDIR } from "../kernel/linux.ts";
import { removeRecord } from "../node/record.ts";
import { attempt } from "../verbs/attempt.ts";
import { asidePath } from "../node/record-folder.ts";
import { ownCall } from "./own-call.ts";
import type { FoundLease, Surveyed } from "./surveyed.ts";

/** Frees the address of a lease, with all its holder has in that folder. */
export function freeLease({ folder, ip, holder }: FoundLease): void {
  if (holder?.ifname !== undefined) {
    removeLease(folder, { containerId: holder.containerId, ifname: holder.ifname });
    return;
  }
  // a file that names no interface, or nobody, has no record and nothing else
  const isSame = (): boolean => isHolder(readLease(folder, ip)) === (holder !== undefined);
  withStore(folder, () => isSame() && removeOdd(leasePath(folder, ip)));
}

/** A folder goes as well, when nothing is in it: what it holds is none of podwire's to judge. */
function removeOdd(path: string): void {
  if (findLstat(path)?.type === S_IFDIR) rmdir(path);
  else removeFile(path);
}

/**
 * Removes what an attachment has left on the node, as its DEL would: rules of either maker, leases, record. Carries on
 * after a failure, and returns what failed, in words.
 */
export function removeAttachment(attached: Surveyed, dataDirs: readonly string[]): string[] {
  const { owner, leases, addresses } = attached;
  const failures = attempt("gc");
  const site = new Site(ownCall("DEL", { ...owner, config: {}, cniVersion: newest }), () => undefined);
  const traces: Traces = { owner, site, addresses };
  for (const kind of allKinds.toReversed()) failures.try(() => kind.remove?.(traces, undefined));
  for (const kind of allKinds.toReversed()) failures.try(() => kind.removeReference?.(traces, undefined));
  site.close();
  for (const lease of leases) failures.try(() => freeLease(lease));
  for (const dataDir of dataDirs) {
    const folder = { dataDir, network: owner.network };
    failures.try(() => exists(asidePath(folder)) && removeRecord(folder, owner));
  }
  return failures.messages();
}

import type { PodName } from "../cni/pod-name.ts";
import type { Lease } from "../ipam/judgement.ts";
import type { LeaseFolder } from "../ipam/lease-folder.ts";
import type { CachedAttachment } from "../protocol/cached-result.ts";
import type { Attached } from "../node/inventory.ts";

/** A lease, and where its file is. */
export interface FoundLease extends Lease {
  folder: LeaseFolder;
}

/** One attachment, with all that this node and its runtime know of it. */
export interface Surveyed extends Attached {
  /** what the runtime calls the pod */
  pod?: PodName;
  /** path of its network namespace, "" where nobody says it */
  netns: string;
  /** what the runtime remembers of it */
  cached?: CachedAttachment;
  leases: FoundLease[];
  /** links of the host that the runtime's result of it names */
  linkNames?: string[];
}

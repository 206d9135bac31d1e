import { SystemError } from "../../kernel/linux.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { TUNING_FOLDER } from "../parts.ts";
import type { Site } from "../site.ts";
import { findBackup } from "./backup.ts";

/** An MTU by a part: what the link was made with, and what prevResult says, where it does. */
interface Wanted {
  mtu?: number | undefined;
  podMtu?: number | undefined;
}

/**
 * The MTU that must be that of the pod's end of a link: any, where the plugin `tuning` gave it another one than it was
 * made with, and prevResult does not say so. No result before 1.1.0 does, and none of the reference's tuning; a backup
 * in the usual place tells.
 */
export function wantedMtu({ mtu, podMtu }: Wanted, link: Link | undefined, { owner }: Site): number | undefined {
  const wanted = podMtu ?? mtu;
  if (wanted === undefined || !link || link.mtu === wanted) return wanted;
  try {
    const backup = findBackup(TUNING_FOLDER, owner);
    const isSaid = podMtu !== undefined && backup?.owner !== undefined;
    return backup?.link.mtu === undefined || isSaid ? wanted : undefined;
  } catch (error) {
    if (error instanceof SystemError) return wanted;
    throw error;
  }
}

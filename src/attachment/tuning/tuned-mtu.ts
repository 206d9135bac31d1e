import { SystemError } from "../../kernel/linux.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { TUNING_FOLDER } from "../parts.ts";
import type { Site } from "../site.ts";
import { findBackup } from "./backup.ts";

/**
 * The MTU that must be that of the pod's end of a link: any, where the plugin `tuning` gave it another one than it was
 * made with. No result before 1.1.0 has one, and none of the reference's tuning; a backup in the usual place tells.
 */
export function withoutTuned(mtu: number | undefined, link: Link | undefined, { owner }: Site): number | undefined {
  if (mtu === undefined || !link || link.mtu === mtu) return mtu;
  try {
    return findBackup(TUNING_FOLDER, owner)?.link.mtu === undefined ? mtu : undefined;
  } catch (error) {
    if (error instanceof SystemError) return mtu;
    throw error;
  }
}

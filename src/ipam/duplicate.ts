import type { Owner } from "../attachment/attachment.ts";
import { useLostPod } from "../attachment/link/evidence.ts";
import { findLink } from "../attachment/link/links.ts";
import { attachedAlready } from "../attachment/link/own-link.ts";
import { findRecord } from "../node/record.ts";
import type { RecordFolder } from "../node/record-folder.ts";

/**
 * CniError 4 where the attachment lives, in whatever namespace: its record says where, and its link is there. Asked
 * before addresses are, for what is undone of a failed ADD may be what the live attachment has.
 */
export function assertNotAttached(folder: RecordFolder, owner: Owner): void {
  const { netns, cookie } = findRecord(folder, owner)?.knowledge ?? {};
  if (netns === undefined || cookie === undefined) return;
  const isThere = useLostPod({ netns, cookie }, ({ socket }) => findLink(socket, owner.ifname) !== undefined);
  if (isThere) throw attachedAlready(owner, `link ${owner.ifname} of ${netns}`);
}

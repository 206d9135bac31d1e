import type { Ip } from "../net/ip.ts";
import { folderPath, type LeaseFolder, type LeaseOwner } from "./lease-folder.ts";
import { explaining } from "./leases.ts";
import { discardDraft, draftLease, withStore } from "./store.ts";

/** Leases addresses to the owner that has them again, where their files are gone; those that nobody has meanwhile. */
export const restoreLeases = (folder: LeaseFolder, owner: LeaseOwner, ips: readonly Ip[]): Ip[] =>
  explaining(`cannot lease addresses in ${folderPath(folder)}`, () => {
    const draft = draftLease(folder, owner);
    try {
      return withStore(folder, (store) => {
        const leased = ips.filter((ip) => store.claim(ip, draft));
        store.flush();
        return leased;
      });
    } finally {
      discardDraft(draft);
    }
  });

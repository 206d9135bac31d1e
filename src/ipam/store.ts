import { removedMeanwhile } from "../cni/error.ts";
import { removeFile, withFile, withOwnFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { type Ip, sameIp } from "../net/ip.ts";
import {
  bootId,
  type Counted,
  findInCensus,
  isStamped,
  keepCensus,
  readCensus,
  stampFolder,
  tolerant,
} from "./census.ts";
import { isHeldBy } from "./folder.ts";
import {
  draftPath,
  ensureAside,
  findRecord,
  hasRecord,
  type AttachmentRecord,
  removeRecord,
  writeRecord,
} from "../node/record.ts";
import { encodeLease, folderPath, type Holder, type LeaseFolder, type LeaseOwner, leasePath } from "./lease-folder.ts";
import { withFolderLock } from "./lock.ts";

/** A lease file written and flushed to disk, to be linked to the address it will be for. */
export interface Draft {
  path: string;
  content: string;
}

/**
 * Writes the lease file before the lock is taken: its content does not depend on the address. The caller removes it.
 */
export function draftLease(folder: LeaseFolder, owner: LeaseOwner): Draft {
  const draft = { path: draftPath(folder, owner), content: encodeLease(owner) };
  try {
    writeDraft(draft);
  } catch (error) {
    if (!linux.isErrno(error, "ENOENT")) throw error;
    ensureAside(folder);
    writeDraft(draft);
  }
  return draft;
}

/** Removes a draft; one that cannot be removed fails nothing: DEL and GC try again. */
export function discardDraft({ path }: Draft): void {
  tolerant(() => removeFile(path));
}

/**
 * Writes a file and flushes it to disk; a failure leaves none. What a killed ADD of the same owner left there is
 * written over, not emptied first: it says the same, and a lease may be linked to it.
 */
const writeDraft = (draft: Draft): void =>
  withOwnFile(draft.path, 0o600, (fd) => writeDurably(fd, draft), { linked: draft.content });

function writeDurably(fd: number, { path, content }: Draft): void {
  try {
    linux.writeAll(fd, encodeUtf8(content));
    linux.fsync(fd);
  } catch (error) {
    removeFile(path);
    throw error;
  }
}

/** Runs `use` with the network's leases locked. */
export function withStore<T>(folder: LeaseFolder, use: (store: LeaseStore) => T): T {
  return withFolderLock(folder, () => {
    const store = new LeaseStore(folder);
    const result = use(store);
    store.seal(); // not after an error: then the next operation reads all leases and finds what is there
    return result;
  });
}

/** The leases of one network while they are locked. */
export class LeaseStore {
  /** census and records together know every lease */
  private complete: boolean;
  private changed = false;
  /** what every lease says, where all were read under this lock */
  private counted: readonly string[] | undefined;
  private readonly boot = bootId();

  constructor(readonly folder: LeaseFolder) {
    this.complete = isStamped(folder, this.boot);
  }

  /**
   * The addresses an owner holds, by what their files say: those in its record, which the caller has read, and, when
   * the record is missing or outdated, those in the census. Files of old versions, with the container id
   * alone, count when there are no others.
   */
  owned(owner: LeaseOwner, record: AttachmentRecord | undefined): { ips: Ip[]; holder: Holder } {
    if (!record && hasRecord(this.folder, owner)) this.complete = false; // unreadable, or cut short
    const recorded = record?.ips ?? [];
    const ips = recorded.filter((ip) => isHeldBy(this.folder, ip, owner));
    if (ips.length > 0 && ips.length === recorded.length) return { ips, holder: owner };
    if (!this.complete) this.takeCensus();
    const counted = this.findInCensus(owner.containerId);
    const of = (ifname: string | undefined): Ip[] =>
      counted.flatMap(({ holder, ip }) => (holder.ifname === ifname && isHeldBy(this.folder, ip, holder) ? [ip] : []));
    for (const ip of of(owner.ifname)) if (!ips.some((other) => sameIp(ip, other))) ips.push(ip);
    return ips.length > 0 ? { ips, holder: owner } : { ips: of(undefined), holder: { containerId: owner.containerId } };
  }

  /**
   * As `owned`; an owner nothing is known of is looked for in every lease: one that was rewritten in place does not
   * show in the folder's time.
   */
  found(owner: LeaseOwner): { ips: Ip[]; holder: Holder } {
    const record = findRecord(this.folder, owner);
    const known = this.owned(owner, record);
    if (known.ips.length > 0 || this.counted) return known;
    this.takeCensus();
    return this.owned(owner, record);
  }

  /** A census that cannot be read is taken again. */
  private findInCensus(containerId: string): Counted[] {
    try {
      return findInCensus(this.folder, containerId, this.counted);
    } catch (error) {
      if (!(error instanceof linux.SystemError)) throw error;
      this.takeCensus();
      return findInCensus(this.folder, containerId, this.counted);
    }
  }

  /**
   * Reads all leases, whatever the stamp says. Where the census cannot be kept the next operation reads them again:
   * what is to be freed on a full disk must not need room there.
   */
  takeCensus(): void {
    this.counted = readCensus(this.folder);
    this.complete = keepCensus(this.folder, this.counted);
    this.changed = true;
  }

  /** Leases an address; false when something is at its place already. */
  claim(ip: Ip, draft: Draft): boolean {
    try {
      link(draft, leasePath(this.folder, ip));
    } catch (error) {
      if (linux.isErrno(error, "EEXIST")) return false;
      const isGone = linux.isErrno(error, "ENOENT") && !linux.exists(draft.path);
      throw isGone ? removedMeanwhile(`the draft ${draft.path}`, error) : error;
    }
    this.changed = true;
    return true;
  }

  /** Frees an address if it is this holder's; true when it was. */
  release(ip: Ip, holder: Holder): boolean {
    if (!isHeldBy(this.folder, ip, holder)) return false;
    this.changed = true;
    return removeFile(leasePath(this.folder, ip));
  }

  remember(record: AttachmentRecord): void {
    this.changed = true;
    writeRecord(this.folder, record);
  }

  /** Removes the record, and the draft of an ADD that was killed, unless it is one that is in use. */
  forget(owner: LeaseOwner, inUse?: Draft): void {
    if (removeRecord(this.folder, owner)) this.changed = true;
    const path = draftPath(this.folder, owner);
    if (path !== inUse?.path) removeFile(path);
  }

  /** Flushes the folder to disk: what was leased stays leased when the machine loses power. */
  flush(): void {
    withFile(folderPath(this.folder), linux.O.RDONLY, 0, linux.fsync);
  }

  /**
   * Ends an operation: says on disk that census and records are complete, if they are; unsaid, the next one reads all
   * leases.
   */
  seal(): void {
    if (this.complete && this.changed) tolerant(() => stampFolder(this.folder, this.boot));
  }
}

/**
 * A link appears whole or not at all; where there are none between the two folders, an exclusive file serves, as in the
 * reference.
 */
function link(draft: Draft, path: string): void {
  try {
    linux.link(draft.path, path);
  } catch (error) {
    if (!linux.isErrno(error, "EXDEV", "EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK")) throw error;
    withFile(path, linux.O.WRONLY | linux.O.CREAT | linux.O.EXCL, 0o600, (fd) =>
      writeDurably(fd, { path, content: draft.content }),
    );
  }
}

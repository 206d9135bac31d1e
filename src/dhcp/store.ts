import type { Owner } from "../attachment/attachment.ts";
import { ensureDirectory, findText, namesIn, openOrMake, removeFile, withFile } from "../kernel/file.ts";
import { sha512 } from "../kernel/hash.ts";
import { exists, LOCK, O, rename, tryLock, writeAll } from "../kernel/linux.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { clientText } from "./asked.ts";
import { decodeRecord, encodeRecord, type LeaseRecord } from "./record.ts";

const DRAFT = ".new-";
const LOCK_NAME = ".lock";

/**
 * Leases on disk, beside the daemon's socket: the next daemon renews them, and a DEL gives them back while none runs.
 * That is on /run, which ends with the boot, as pods do: nothing has to be flushed.
 */
export class LeaseStore {
  private constructor(private readonly folder: string) {}

  static of(socketPath: string): LeaseStore {
    return new LeaseStore(`${socketPath}.leases`);
  }

  /** Keeps everybody else from being the one who renews them; false where somebody is. Until the process ends. */
  claim(): boolean {
    ensureDirectory(this.folder, 0o700);
    return tryLock(openOrMake(`${this.folder}/${LOCK_NAME}`, O.RDWR, 0o600), LOCK.EX);
  }

  private path(client: Owner): string {
    return `${this.folder}/${sha512(clientText(client)).slice(0, 40)}`;
  }

  keep(record: LeaseRecord): void {
    const path = this.path(record.client);
    const draft = `${this.folder}/${DRAFT}${path.slice(this.folder.length + 1)}`;
    removeFile(draft); // of a daemon that was killed
    withFile(draft, O.WRONLY | O.CREAT | O.EXCL, 0o600, (fd) => writeAll(fd, encodeUtf8(encodeRecord(record))));
    rename(draft, path);
  }

  has(client: Owner): boolean {
    return exists(this.path(client));
  }

  find(client: Owner): LeaseRecord | undefined {
    return decodeRecord(findText(this.path(client)) ?? "");
  }

  forget(client: Owner): void {
    removeFile(this.path(client));
  }

  /** As `list`; drafts that nobody will finish are removed. */
  load(): LeaseRecord[] {
    for (const name of namesIn(this.folder)) if (name.startsWith(DRAFT)) removeFile(`${this.folder}/${name}`);
    return this.list();
  }

  /** Every lease that can be read. */
  list(): LeaseRecord[] {
    return namesIn(this.folder).flatMap((name) =>
      name.startsWith(".") ? [] : (decodeRecord(findText(`${this.folder}/${name}`) ?? "") ?? []),
    );
  }
}

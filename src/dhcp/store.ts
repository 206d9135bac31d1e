import type { Owner } from "../attachment/attachment.ts";
import { ensureDirectory, findText, namesIn, openOrMake, readText, removeFile, withFile } from "../kernel/file.ts";
import { sha512 } from "../kernel/hash.ts";
import { exists, LOCK, O, rename, SystemError, tryLock, writeAll } from "../kernel/linux.ts";
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
  load(tell: (trouble: string) => void): LeaseRecord[] {
    for (const name of namesIn(this.folder)) if (name.startsWith(DRAFT)) removeFile(`${this.folder}/${name}`);
    return this.list(tell);
  }

  /** Every lease that can be read; `tell` hears of those that cannot. */
  list(tell: (trouble: string) => void): LeaseRecord[] {
    return namesIn(this.folder).flatMap((name): LeaseRecord[] => {
      if (name.startsWith(".")) return [];
      const path = `${this.folder}/${name}`;
      try {
        const record = decodeRecord(readText(path));
        if (record) return [record];
        tell(`${path} is no lease: nobody keeps it up`);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.code !== "ENOENT") tell(`a lease cannot be read, and nobody keeps it up: ${error.message}`);
      }
      return [];
    });
  }
}

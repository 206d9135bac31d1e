import { Code, CniError, codeFor } from "../cni/error.ts";
import { type Dns, noDns, type ResultIp, type ResultRoute } from "../cni/result.ts";
import { readText, removeFile } from "../kernel/file.ts";
import * as linux from "../kernel/linux.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { type Candidate, claimFirst } from "./allocator.ts";
import type { HostLocalConfig } from "./config.ts";
import { isHeldBy, isHolder, leasedAddresses, readCursor, readLease, writeCursor } from "./folder.ts";
import { draftPath, findRecord, type Knowledge, type AttachmentRecord } from "../node/record.ts";
import { folderPath, type LeaseFolder, type LeaseOwner } from "./lease-folder.ts";
import { judgeLease, type Lease } from "./judgement.ts";
import type { Liveness } from "../node/liveness.ts";
import { findRange, formatSet, type RangeSet } from "./range.ts";
import { exhausted, listLeases, takeBack } from "./reclaim.ts";
import { planRequests } from "./requests.ts";
import { parseResolvConf } from "./resolv-conf.ts";
import { discardDraft, type Draft, draftLease, type LeaseStore, withStore } from "./store.ts";

/** What IPAM says for a result, how to take back exactly that, and which leases of gone pods were taken back for it. */
export interface Leased {
  ips: ResultIp[];
  routes: ResultRoute[];
  dns: Dns;
  undo(): void;
  takenBack: Lease[];
}

/**
 * Leases one address of each range set to the owner, under one lock; a failure leaves nothing. An owner that has an
 * address in one of the sets already gets an error, and keeps it. `knowledge` is what the main plugin knows of the pod.
 */
export function addLease(
  config: HostLocalConfig,
  owner: LeaseOwner,
  liveness: Liveness,
  knowledge?: Knowledge,
): Leased {
  const { folder, sets, routes } = config;
  const dns = readDns(config.resolvConf);
  const requested = planRequests(sets, config.requests);
  return explaining(`cannot lease an address in ${folderPath(folder)}`, () => {
    const draft = draftLease(folder, owner);
    try {
      return withStore(folder, (store) => {
        const before = findRecord(folder, owner);
        const { ips: held, holder } = store.owned(owner, before);
        const taking = new Taking(store, draft, liveness);
        const again = held.filter((ip) => sets.some((set) => findRange(set, ip)) && !taking.takeBackOf(ip));
        for (const ip of again) refuseDuplicate(owner, ip);
        // of range sets that are not in this configuration
        const kept = holder.ifname === undefined ? [] : held.filter((ip) => isHeldBy(folder, ip, owner));
        const taken = taking.run(sets, requested, {
          remember: (ips) => store.remember(newRecord(owner, [...kept, ...ips], liveness, knowledge)),
          undo: (some) => giveBack(store, owner, some, before),
        });
        const ips = taken.map(({ ip, range }) => ({
          address: { ip, length: range.subnet.length },
          gateway: range.gateway,
        }));
        return {
          ips,
          routes,
          dns,
          takenBack: taking.takenBack,
          undo: () => withStore(folder, (again) => giveBack(again, owner, taken, before)),
        };
      });
    } finally {
      discardDraft(draft);
    }
  });
}

function readDns(resolvConf: string): Dns {
  if (resolvConf === "") return noDns();
  try {
    return parseResolvConf(readText(resolvConf));
  } catch (error) {
    if (error instanceof linux.SystemError) {
      const what = `ipam.resolvConf: cannot read the file: ${error.message}`;
      throw new CniError(codeFor(error, Code.Io), what, "", { cause: error });
    }
    throw error;
  }
}

function refuseDuplicate({ containerId, ifname }: LeaseOwner, ip: Ip): never {
  throw new CniError(
    Code.InvalidEnvironment,
    `${formatIp(ip)} has been allocated to ${containerId} (interface ${ifname}), ` +
      `duplicate allocation is not allowed: DEL comes before another ADD of these CNI_CONTAINERID and CNI_IFNAME`,
  );
}

const newRecord = (
  owner: LeaseOwner,
  ips: Ip[],
  liveness: Liveness,
  knowledge: Knowledge | undefined,
): AttachmentRecord => ({ owner, ips, marker: liveness.marker(), ...(knowledge && { knowledge }) });

function giveBack(
  store: LeaseStore,
  owner: LeaseOwner,
  taken: Candidate[],
  before: AttachmentRecord | undefined,
): void {
  for (const { ip } of taken) store.release(ip, owner);
  if (before) store.remember(before);
  else store.forget(owner);
}

/** One ADD's way through the range sets. */
class Taking {
  readonly takenBack: Lease[] = [];

  constructor(
    private readonly store: LeaseStore,
    private readonly draft: Draft,
    private readonly liveness: Liveness,
  ) {}

  /** One address of each set, with cursors and whatever `remember` writes; a failure leaves nothing of it. */
  run(
    sets: RangeSet[],
    requested: (Ip | undefined)[],
    { remember, undo }: { remember(ips: Ip[]): void; undo(taken: Candidate[]): void },
  ): Candidate[] {
    const taken: Candidate[] = [];
    try {
      sets.forEach((set, n) => taken.push(requested[n] ? this.takeThis(n, set, requested[n]) : this.takeAny(n, set)));
      taken.forEach(({ ip }, n) => writeCursor(this.store.folder, n, ip));
      remember(taken.map(({ ip }) => ip));
      this.store.flush();
      return taken;
    } catch (error) {
      undo(taken);
      throw error;
    }
  }

  /** Frees the lease of an address whose pod is provably gone; true when it did. */
  takeBackOf(ip: Ip): boolean {
    const lease = judgeLease(this.store.folder, ip, this.liveness);
    const freed = lease ? takeBack(this.store, [lease], this.draft) : [];
    this.takenBack.push(...freed);
    return freed.length > 0;
  }

  private takeThis(n: number, set: RangeSet, ip: Ip): Candidate {
    const claim = (): boolean => this.store.claim(ip, this.draft);
    if (claim() || (this.takeBackOf(ip) && claim())) return { ip, range: findRange(set, ip)! };
    const holder = readLease(this.store.folder, ip);
    const who = !isHolder(holder)
      ? holder === "unreadable"
        ? "a file that cannot be read"
        : "a file that is no lease"
      : `container ${holder.containerId}${holder.ifname ? ` (interface ${holder.ifname})` : ""}`;
    throw new CniError(
      Code.TryAgainLater,
      `requested IP address ${formatIp(ip)} is not available in range set ${n} (${formatSet(set)}): ${who} has it`,
    );
  }

  private takeAny(n: number, set: RangeSet): Candidate {
    const { folder } = this.store;
    const family = set[0]!.subnet.ip.family;
    const readTaken = (): Set<bigint> =>
      new Set(
        leasedAddresses(folder)
          .filter((ip) => ip.family === family)
          .map(({ value }) => value),
      );
    const attempt = (): Candidate | undefined =>
      claimFirst(set, readCursor(folder, n), (ip) => this.store.claim(ip, this.draft), readTaken);
    const free = attempt();
    if (free) return free;
    const leases = listLeases(folder, this.liveness, set);
    const freed = takeBack(this.store, leases, this.draft);
    this.takenBack.push(...freed);
    const again = freed.length > 0 ? attempt() : undefined;
    if (!again) throw exhausted(folder, n, set, leases);
    return again;
  }
}

/** The addresses an owner holds; none where the network has no leases at all. Nothing is created. */
export function findLease(folder: LeaseFolder, owner: LeaseOwner, record = findRecord(folder, owner)): Ip[] {
  const recorded = record?.ips ?? [];
  // Files change whole, so a record that agrees with them needs no lock
  if (recorded.length > 0 && recorded.every((ip) => isHeldBy(folder, ip, owner))) return recorded;
  if (!linux.exists(folderPath(folder))) return [];
  return explaining(`cannot look for leases in ${folderPath(folder)}`, () =>
    withStore(folder, (store) => store.found(owner).ips),
  );
}

/** Throws unless the owner holds an address, whichever. */
export function checkLease({ folder }: Pick<HostLocalConfig, "folder">, owner: LeaseOwner): void {
  if (findLease(folder, owner).length > 0) return;
  throw new CniError(
    Code.Internal,
    `failed to find an address of container ${owner.containerId} (interface ${owner.ifname}) in ${folderPath(folder)}`,
  );
}

/** Frees all addresses of an owner and returns them; none is success. `hasNone`: `findLease` said so just before. */
export function removeLease(folder: LeaseFolder, owner: LeaseOwner, hasNone = false): Ip[] {
  if (!linux.exists(folderPath(folder))) {
    removeFile(draftPath(folder, owner)); // of an ADD that was killed at the very start
    return [];
  }
  return explaining(`cannot release the addresses of container ${owner.containerId} in ${folderPath(folder)}`, () =>
    withStore(folder, (store) => {
      const { ips, holder } = hasNone ? store.owned(owner, findRecord(folder, owner)) : store.found(owner);
      const released = ips.filter((ip) => store.release(ip, holder));
      store.forget(owner);
      return released;
    }),
  );
}

/**
 * Runs `work`; an error of the system, which names a call and a file, becomes CniError 5 that says what could not be
 * done.
 */
export function explaining<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof linux.SystemError) {
      throw new CniError(codeFor(error, Code.Io), `${what}: ${error.message}`, "", { cause: error });
    }
    throw error;
  }
}

import type { Owner } from "../attachment/attachment.ts";
import { allKinds } from "../attachment/kinds.ts";
import { listLinks } from "../attachment/link/links.ts";
import { aliasKey, ownerOfAlias, ownerOfLabel } from "../attachment/owner.ts";
import { findLstat, namesIn } from "../kernel/file.ts";
import { S_IFDIR } from "../kernel/linux.ts";
import type { NetlinkSocket } from "../kernel/netlink.ts";
import { type Ip, sameIp } from "../net/ip.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import { lifeOf, type Life, type Liveness } from "./liveness.ts";
import { type AttachmentRecord, listRecords } from "./record.ts";
import type { RecordFolder } from "./record-folder.ts";

/** One attachment, as all that is on this node tells of it. */
export interface Attached {
  owner: Owner;
  /** the host's end of its link, known by its alias */
  link?: Link;
  record?: AttachmentRecord;
  /** those of its record and its leases */
  addresses: Ip[];
  /** those of the leases alone */
  leased: Ip[];
  /** what the firewall has for it, in words */
  rules: string[];
  /** the links of the host those are about */
  ruleLinks: string[];
  state: Life;
}

/** A lease as an inventory takes it: an address, and who has it. */
export interface Leased {
  owner: Owner;
  ip: Ip;
}

/** Where an inventory looks. */
export interface Places {
  /** the folders whose records are read */
  records: readonly RecordFolder[];
  leases: readonly Leased[];
  host: NetlinkSocket;
  liveness: Liveness;
}

/**
 * Every attachment there is a link, a record, a lease or a rule of; one whose owner's words were cut in its alias
 * counts too.
 */
export function takeInventory({ records, leases, host, liveness }: Places): Attached[] {
  const found = new Map<string, Attached>();
  const of = (owner: Owner, key = aliasKey(owner)): Attached => {
    const attached = found.get(key) ?? { owner, addresses: [], leased: [], rules: [], ruleLinks: [], state: "unknown" };
    found.set(key, attached);
    return attached;
  };
  for (const folder of records) {
    for (const record of listRecords(folder)) {
      const attached = of({ network: folder.network, ...record.owner });
      Object.assign(attached, {
        record,
        addresses: [...record.ips],
        ...(record.knowledge && { state: lifeOf(record, liveness) }),
      });
    }
  }
  for (const { owner, ip } of leases) {
    const attached = of(owner);
    attached.leased.push(ip);
    if (!attached.addresses.some((known) => sameIp(known, ip))) attached.addresses.push(ip);
  }
  for (const { comment, what, link } of allKinds.flatMap((kind) => kind.list?.() ?? [])) {
    const owner = ownerOfLabel(comment);
    if (!owner) continue;
    const attached = of(owner);
    attached.rules.push(what);
    if (link !== undefined) attached.ruleLinks.push(link);
  }
  for (const { owner, link } of listLinked(host)) {
    Object.assign(of(owner, link.alias.slice("podwire ".length)), { link, state: "live" });
  }
  return [...found.values()];
}

/** The links of the host that are attachments' own, by their aliases, with the owner's words. */
export const listLinked = (host: NetlinkSocket): { owner: Owner; link: Link }[] =>
  listLinks(host).flatMap((link) => {
    const owner = ownerOfAlias(link.alias);
    return owner ? [{ owner, link }] : [];
  });

/** The networks podwire has records of; no network's name begins with a dot. */
export const recordedNetworks = (dataDir: string): string[] =>
  namesIn(`${dataDir}/.podwire`).filter((name) => findLstat(`${dataDir}/.podwire/${name}`)?.type === S_IFDIR);

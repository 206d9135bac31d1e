import type { PartName } from "../attachment/attachment.ts";
import type { MadeIn } from "../attachment/kind.ts";
import { tryJson } from "../cni/json.ts";
import { type PodName, toPodName } from "../cni/pod-name.ts";
import { isObject } from "../cni/schema.ts";
import { ensureDirectory, findStat, findText, namesIn, readText, removeFile, withOwnFile } from "../kernel/file.ts";
import { fileName } from "../kernel/hash.ts";
import { exists, isErrno, stat, SystemError, writeAll } from "../kernel/linux.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { formatIp, type Ip, parseIp } from "../net/ip.ts";
import { isNewLinkName } from "../net/link-name.ts";
import { asidePath, type RecordFolder, recordsPath, type RecordOwner } from "./record-folder.ts";

/** What podwire knows of the pod an attachment is for: enough to tell later whether it is gone, and what to remove. */
export interface Knowledge {
  /** name of the host end of the veth pair; absent where the pod's link has no end on the host */
  hostVeth?: string;
  /** path of the pod's network namespace */
  netns: string;
  /** SO_NETNS_COOKIE of that namespace; absent where the kernel has none */
  cookie?: bigint;
  /** the optional kinds of parts it has, whatever a later configuration says; absent in records of old versions */
  parts?: PartName[];
  /** some of them are in iptables, whatever backend a later configuration names */
  usesIptables?: boolean;
  /** the MTU of the master of the pod's link, which has that then */
  masterMtu?: number;
  /** the host's link that the pod has: a pod may write into its alias, which says so too, what it likes */
  device?: string;
  /** what the runtime calls the pod, where it says so */
  pod?: PodName;
}

/** Where the attachment is, as far as that can be told for certain: cookies are never used again. */
export const madeInOf = ({ netns, cookie, device }: Knowledge): MadeIn | undefined =>
  cookie === undefined ? undefined : { netns, cookie, ...(device !== undefined && { device }) };

/** What podwire keeps of one attachment. The lease files are the truth about addresses; this says where to look. */
export interface AttachmentRecord {
  owner: RecordOwner;
  ips: Ip[];
  /** text of the /run marker when the leases were made; "" when there was none */
  marker: string;
  /** absent where host-local was run by a plugin that is not podwire's */
  knowledge?: Knowledge;
}

/**
 * `:` occurs in no container id and no interface name, so a readable name never equals another owner's, or a hashed
 * one.
 */
const recordName = ({ containerId, ifname }: RecordOwner): string => fileName(`${containerId}:${ifname}`);

const recordPath = (folder: RecordFolder, owner: RecordOwner): string => `${asidePath(folder)}/${recordName(owner)}`;

/**
 * Where an ADD prepares its lease file: the owner's own place, so that the DEL after an ADD that was killed finds it.
 */
export const draftPath = (folder: RecordFolder, owner: RecordOwner): string =>
  `${asidePath(folder)}/.new-${recordName(owner)}`;

/** The owner's record; undefined when there is none, or when it was cut short. */
export function findRecord(folder: RecordFolder, owner: RecordOwner): AttachmentRecord | undefined {
  const record = decodeRecord(findText(recordPath(folder, owner)));
  return record && record.owner.containerId === owner.containerId && record.owner.ifname === owner.ifname
    ? record
    : undefined;
}

/**
 * The network that has a record of the owner where that of the folder has none: container id and interface name are one
 * attachment, whatever its network is called now. Undefined also where that cannot be looked at.
 */
export function findFormerNetwork(
  folder: RecordFolder,
  owner: RecordOwner,
  record = findRecord(folder, owner),
): string | undefined {
  if (record) return undefined;
  try {
    return namesIn(recordsPath(folder.dataDir)).find(
      (network) => network !== folder.network && findRecord({ ...folder, network }, owner),
    );
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/** Whether, by the records of any network, another container has its link of that name in the namespace of a cookie. */
export const isRecordedOfAnother = ({ dataDir }: RecordFolder, owner: RecordOwner, cookie: bigint): boolean =>
  namesIn(recordsPath(dataDir)).some((network) =>
    listRecords({ dataDir, network }).some(
      ({ owner: { containerId, ifname }, knowledge }) =>
        knowledge?.cookie === cookie && ifname === owner.ifname && containerId !== owner.containerId,
    ),
  );

/** True when there is a record, readable or not. */
export const hasRecord = (folder: RecordFolder, owner: RecordOwner): boolean => exists(recordPath(folder, owner));

/**
 * Not flushed to disk: a record that is lost is made up for by reading all leases. One that is there is written over,
 * and blanks take the place of what is left of it: a process killed in between would leave an empty one, and a link in
 * the pod that nobody knows of.
 */
export function writeRecord(folder: RecordFolder, { owner, ips, marker, knowledge }: AttachmentRecord): void {
  const cookie = knowledge?.cookie === undefined ? {} : { cookie: `${knowledge.cookie}` };
  const json = {
    containerId: owner.containerId,
    ifname: owner.ifname,
    ips: ips.map(formatIp),
    marker,
    ...(knowledge && {
      ...(knowledge.hostVeth !== undefined && { hostVeth: knowledge.hostVeth }),
      netns: knowledge.netns,
      ...cookie,
      ...(knowledge.parts && { parts: knowledge.parts }),
      ...(knowledge.usesIptables && { usesIptables: true }),
      ...(knowledge.masterMtu !== undefined && { masterMtu: knowledge.masterMtu }),
      ...(knowledge.device !== undefined && { device: knowledge.device }),
      ...(knowledge.pod && { pod: knowledge.pod }),
    }),
  };
  withOwnFile(recordPath(folder, owner), 0o600, (fd) =>
    writeAll(fd, encodeUtf8(`${JSON.stringify(json).padEnd(stat(fd).size - 1)}\n`)),
  );
}

/** As `writeRecord`, where the folder of the records may be missing. */
export function ensureRecord(folder: RecordFolder, record: AttachmentRecord): void {
  try {
    writeRecord(folder, record);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    ensureAside(folder);
    writeRecord(folder, record);
  }
}

export const removeRecord = (folder: RecordFolder, owner: RecordOwner): boolean =>
  removeFile(recordPath(folder, owner));

/**
 * Whose record was written since a moment, in milliseconds since 1970: of a GC that began then, ADDs it cannot know of.
 * To be asked after what it decides about was listed. One from the future is from before the clock was set back.
 */
export function listRecordedSince(folder: RecordFolder, moment: number): RecordOwner[] {
  const now = Date.now() + 1;
  const isYoung = (path: string): boolean => {
    const written = Number((findStat(path)?.mtime ?? 0n) / 1_000_000n);
    return moment < written && written <= now;
  };
  return readRecords(folder, false, isYoung).flatMap(([, record]) => record?.owner ?? []);
}

/**
 * Removes the records of owners that are not among those wanted, who are asked for after the records were listed, and
 * files that are no record; what cannot be read stays.
 */
export function pruneRecords(folder: RecordFolder, wanted: () => readonly RecordOwner[]): void {
  const records = readRecords(folder, false);
  const paths = new Set(wanted().map((owner) => recordPath(folder, owner)));
  for (const [path, record] of records) if (!record || !paths.has(recordPath(folder, record.owner))) removeFile(path);
}

/** Every record of a network that can be read. */
export const listRecords = (folder: RecordFolder): AttachmentRecord[] =>
  readRecords(folder, false).flatMap(([, record]) => record ?? []);

/** Every record of a network; SystemError where one cannot be read. */
export const getRecords = (folder: RecordFolder): AttachmentRecord[] =>
  readRecords(folder, true).flatMap(([, record]) => record ?? []);

/** By path; census, stamp and drafts have names of their own. One that goes meanwhile, and what is no file, is none. */
const readRecords = (
  folder: RecordFolder,
  isStrict: boolean,
  isRead: (path: string) => boolean = () => true,
): [path: string, record: AttachmentRecord | undefined][] =>
  namesIn(asidePath(folder))
    .filter((name) => !name.startsWith("."))
    .flatMap((name): [string, AttachmentRecord | undefined][] => {
      const path = `${asidePath(folder)}/${name}`;
      if (!isRead(path)) return [];
      try {
        return [[path, decodeRecord(readText(path))]];
      } catch (error) {
        if (isStrict ? isErrno(error, "ENOENT", "EISDIR", "ELOOP") : error instanceof SystemError) return [];
        throw error;
      }
    });

/** Creates the folder of the records, which nobody else may list. */
export function ensureAside(folder: RecordFolder): void {
  ensureDirectory(folder.dataDir);
  ensureDirectory(asidePath(folder), 0o700);
}

function decodeRecord(text: string | undefined): AttachmentRecord | undefined {
  const parsed = tryJson(text ?? "");
  const json = isObject(parsed) ? parsed : undefined;
  const string = (key: string): string => (typeof json?.[key] === "string" ? (json[key] as string) : "");
  if (!json || !Array.isArray(json["ips"]) || !string("containerId") || !string("ifname")) return undefined;
  const ips = json["ips"].map((ip) => parseIp(String(ip)));
  if (!ips.every((ip) => ip !== undefined)) return undefined;
  const cookie = /^\d+$/.test(string("cookie")) ? { cookie: BigInt(string("cookie")) } : {};
  const parts = Array.isArray(json["parts"]) ? { parts: json["parts"] as PartName[] } : {};
  const iptables = json["usesIptables"] === true ? { usesIptables: true } : {};
  const mtu = typeof json["masterMtu"] === "number" ? { masterMtu: json["masterMtu"] } : {};
  const device = isNewLinkName(string("device")) ? { device: string("device") } : {};
  const named = isObject(json["pod"]) ? json["pod"] : {};
  const pod = toPodName(named["namespace"], named["name"], named["uid"]);
  const hostVeth = string("hostVeth") ? { hostVeth: string("hostVeth") } : {};
  const knowledge = string("netns")
    ? {
        knowledge: {
          ...hostVeth,
          netns: string("netns"),
          ...cookie,
          ...parts,
          ...iptables,
          ...mtu,
          ...device,
          ...(pod && { pod }),
        },
      }
    : {};
  return {
    owner: { containerId: string("containerId"), ifname: string("ifname") },
    ips,
    marker: string("marker"),
    ...knowledge,
  };
}

import { CniError, Code, messageOf, removedMeanwhile } from "../../cni/error.ts";
import { tryJson } from "../../cni/json.ts";
import { isObject } from "../../cni/schema.ts";
import { ensureDirectory, namesIn, readText, removeFile, writeFile } from "../../kernel/file.ts";
import { fileName } from "../../kernel/hash.ts";
import { exists, isErrno, rename, SystemError } from "../../kernel/linux.ts";
import { parseMac } from "../../net/mac.ts";
import type { LinkSettings } from "../../netlink/rtnetlink/settings.ts";
import type { Owner } from "../attachment.ts";

/** What there was before an attachment was tuned, for DEL. */
export interface Backup {
  link: Partial<LinkSettings>;
  /** by path below /proc/sys */
  sysctl: Record<string, string>;
  /** absent in a backup of the reference's, as is the rest */
  owner?: Owner;
  /** path of the namespace it is of, and SO_NETNS_COOKIE of it */
  netns?: string;
  cookie?: string;
}

/**
 * The reference's file, which its DEL reads as well: the settings of the link are its keys, and it passes over others.
 */
const pathOf = (dataDir: string, { containerId, ifname }: Owner): string => `${dataDir}/${containerId}_${ifname}.json`;

/**
 * Where a backup is written first: its name tells GC whose it is, should nobody finish it, unless it is too long for
 * that.
 */
function draftOf(dataDir: string, { network, containerId, ifname }: Owner): string {
  const words = `${draftPrefix(network)}${containerId}:${ifname}`;
  return `${dataDir}/${fileName(words, { most: NAME_BYTES, hashed: HASHED_DRAFT })}`;
}
const draftPrefix = (network: string): string => `.new-${network}:`;
const HASHED_DRAFT = ".new:"; // which no network's begins with
/** ext4 and most others allow so many. */
const NAME_BYTES = 255;

/** Whole or not at all; throws what the file system says. */
export function writeBackup(dataDir: string, owner: Owner, { link, sysctl, netns, cookie }: Backup): void {
  const json = { ...link, sysctl, ...owner, netns, cookie };
  const draft = draftOf(dataDir, owner);
  try {
    ensureDirectory(dataDir);
    writeFile(draft, JSON.stringify(json, null, 1), 0o600);
    rename(draft, pathOf(dataDir, owner));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    const isGone = error.syscall === "rename" && error.code === "ENOENT";
    if (isGone) throw removedMeanwhile(`the backup in ${dataDir}`, error);
    const msg = `cannot keep in dataDir what there was before the tuning: ${messageOf(error)}`;
    throw new CniError(Code.Io, msg, "", { cause: error });
  }
}

/** What is there, whole or not, whosever it is. */
function look(path: string): { backup: Backup | undefined } | undefined {
  try {
    return { backup: decodeBackup(readText(path)) };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** The owner's backup; undefined where there is none or it was cut short. */
export function findBackup(dataDir: string, owner: Owner): Backup | undefined {
  const backup = look(pathOf(dataDir, owner))?.backup;
  return backup && isOf(backup, owner) ? backup : undefined;
}

/** CniError 7 where the owner's file is another attachment's: names that hold a `_` can come to the same. */
export function assertNoOther(dataDir: string, owner: Owner): void {
  const path = pathOf(dataDir, owner);
  const backup = look(path)?.backup;
  if (!backup || isOf(backup, owner)) return;
  throw new CniError(
    Code.InvalidConfig,
    `${path} is the backup of container ${backup.owner!.containerId}, interface ${backup.owner!.ifname}: ` +
      `with another dataDir the two do not meet`,
  );
}

const isOf = ({ owner }: Backup, { containerId, ifname }: Owner): boolean =>
  !owner || (owner.containerId === containerId && owner.ifname === ifname);

export const hasBackup = (dataDir: string, owner: Owner): boolean => exists(pathOf(dataDir, owner));

/** Removes the owner's file, whole or not, unless it is another attachment's, and what was to become one. */
export function removeBackup(dataDir: string, owner: Owner): void {
  removeFile(draftOf(dataDir, owner));
  const path = pathOf(dataDir, owner);
  const found = look(path);
  if (found && (!found.backup || isOf(found.backup, owner))) removeFile(path);
}

/** Of whom of the network there is something; the reference's files do not say. */
export function listOwners(dataDir: string, network: string): Owner[] {
  const prefix = draftPrefix(network);
  return namesIn(dataDir).flatMap((name): Owner[] => {
    if (name.startsWith(prefix)) {
      const [containerId = "", ifname = ""] = name.slice(prefix.length).split(":");
      return [{ network, containerId, ifname }];
    }
    const owner =
      name.endsWith(".json") || name.startsWith(HASHED_DRAFT) ? look(`${dataDir}/${name}`)?.backup?.owner : undefined;
    return owner?.network === network ? [owner] : [];
  });
}

function decodeBackup(text: string): Backup | undefined {
  const json = tryJson(text);
  if (!isObject(json)) return undefined;
  const { mac, mtu, promisc, allmulti, txQLen, sysctl, network, containerId, ifname, netns, cookie } = json;
  const known = typeof mac === "string" ? parseMac(mac) : undefined;
  return {
    link: {
      ...(known !== undefined && { mac: known }),
      ...(typeof mtu === "number" && mtu > 0 && { mtu }),
      ...(typeof promisc === "boolean" && { promisc }),
      ...(typeof allmulti === "boolean" && { allmulti }),
      ...(typeof txQLen === "number" && txQLen >= 0 && { txQLen }),
    },
    sysctl: isObject(sysctl)
      ? Object.fromEntries(Object.entries(sysctl).filter((entry): entry is [string, string] => isNetSysctl(...entry)))
      : {},
    ...(typeof network === "string" &&
      typeof containerId === "string" &&
      typeof ifname === "string" && { owner: { network, containerId, ifname } }),
    ...(typeof netns === "string" && { netns }),
    ...(typeof cookie === "string" && { cookie }),
  };
}

const isNetSysctl = (path: string, value: unknown): boolean =>
  typeof value === "string" && path.startsWith("net/") && !path.split("/").includes("..");

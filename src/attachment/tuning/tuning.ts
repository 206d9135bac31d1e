import { CniError, Code, removedMeanwhile } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isErrno } from "../../kernel/system-error.ts";
import { getLink, indexOf } from "../../netlink/rtnetlink/link.ts";
import { changeSettings, decodeSettings, type LinkSettings } from "../../netlink/rtnetlink/settings.ts";
import type { Message } from "../../netlink/message.ts";
import type { TuningPart } from "../attachment.ts";
import { TUNING_FOLDER } from "../parts.ts";
import type { Kind } from "../kind.ts";
import { PodNamespace } from "../pod-namespace.ts";
import type { Site } from "../site.ts";
import { IN_POD, stepOf } from "../step.ts";
import { tryEach } from "../try-each.ts";
import { assertAllowed } from "./allow-list.ts";
import { assertNoOther, type Backup, findBackup, hasBackup, listOwners, removeBackup, writeBackup } from "./backup.ts";
import { compareTuned, readSysctls, restoreSysctls, writeSysctls } from "./sysctls.ts";

// Files here: backup (what was there before, on disk), allow-list (which sysctls the node lets a configuration set),
// sysctls, and this kind.

type Settings = Partial<LinkSettings>;
type Key = keyof LinkSettings;

/** Sysctls of the pod's namespace and settings of its link, which DEL puts back. */
export const tuning: Kind<TuningPart> = {
  apply(part, site, { undo }) {
    if (isEmpty(part)) return;
    const { owner, pod } = site;
    assertAllowed(part.sysctls.map(({ key }) => key));
    assertNoOther(part.dataDir, owner);
    const keys = keysOf(part.link);
    const link = keys.length > 0 ? pick(getSettings(site).settings, keys) : {};
    const before: Backup = {
      link,
      sysctl: pod.enter(() => readSysctls(part.sysctls)),
      netns: pod.path,
      ...cookieOf(pod),
    };
    const former = findBackup(part.dataDir, owner);
    undo.push("put back what was tuned", () => {
      restore(pod, owner.ifname, before);
      if (former) writeBackup(part.dataDir, owner, former);
      else removeBackup(part.dataDir, owner);
    });
    writeBackup(part.dataDir, owner, merge(former, before));
    pod.enter(() => writeSysctls(part.sysctls));
    tuneLink(pod.socket, owner.ifname, part.link);
  },

  settle(part, { owner }) {
    if (isEmpty(part) || hasBackup(part.dataDir, owner)) return;
    throw removedMeanwhile(`the backup in ${part.dataDir}`);
  },

  compare(part, site) {
    if (isEmpty(part)) return [];
    const { pod, owner } = site;
    const isTuned = keysOf(part.link).length > 0;
    return [
      ...(isTuned ? compareLink(findSettings(pod.socket, owner.ifname), part.link, owner.ifname) : []),
      ...pod.enter(() => compareTuned(part.sysctls)),
    ];
  },

  mend(part, { pod, owner: { ifname } }) {
    const found = findSettings(pod.socket, ifname);
    return [
      ...(found ? changesOf(found, ifname, part.link) : []).map((message) => stepOf(pod.socket, message, IN_POD)),
      ...pod
        .enter(() => part.sysctls.filter((sysctl) => compareTuned([sysctl]).length > 0))
        .map((sysctl) => ({
          what: `set sysctl ${sysctl.key} to ${sysctl.value}${IN_POD}`,
          run: () => pod.enter(() => writeSysctls([sysctl])),
        })),
    ];
  },

  remove({ owner, site }, part) {
    const dataDir = part?.dataDir ?? TUNING_FOLDER;
    const backup = findBackup(dataDir, owner);
    if (backup) putBack(owner.ifname, backup, site.findPod());
    removeBackup(dataDir, owner);
    return backup ? "own" : "unknown";
  },

  collect({ network, valid, log }, part) {
    const dataDir = part?.dataDir ?? TUNING_FOLDER;
    const owners = listOwners(dataDir, network);
    const kept = new Set(valid().map(({ containerId, ifname }) => `${containerId} ${ifname}`));
    const lost = owners.filter(({ containerId, ifname }) => !kept.has(`${containerId} ${ifname}`));
    log.note("backups", lost.length);
    tryEach(lost, (owner) => {
      const backup = findBackup(dataDir, owner);
      if (backup) putBack(owner.ifname, backup);
      removeBackup(dataDir, owner);
    });
  },
};

const keysOf = (settings: Settings): Key[] => Object.keys(settings) as Key[];

const isEmpty = ({ sysctls, link }: TuningPart): boolean => sysctls.length === 0 && keysOf(link).length === 0;

const pick = (settings: LinkSettings, keys: readonly Key[]): Settings =>
  Object.fromEntries(keys.map((key) => [key, settings[key]]));

const cookieOf = ({ cookie }: PodNamespace): Pick<Backup, "cookie"> =>
  cookie === undefined ? {} : { cookie: `${cookie}` };

/** What there was before the first ADD is what DEL puts back, but not that of a namespace that is gone. */
function merge(former: Backup | undefined, before: Backup): Backup {
  if (!former || (former.cookie !== undefined && former.cookie !== before.cookie)) return before;
  return {
    ...before,
    link: { ...before.link, ...former.link },
    sysctl: { ...before.sysctl, ...former.sysctl },
  };
}

interface Found {
  index: number;
  settings: LinkSettings;
}

function findSettings(socket: NetlinkSocket, name: string): Found | undefined {
  const reply = socket.find(getLink(name));
  return reply && { index: indexOf(reply), settings: decodeSettings(reply) };
}

function getSettings({ pod, owner: { ifname } }: Site): Found {
  const found = findSettings(pod.socket, ifname);
  if (found) return found;
  throw new CniError(
    Code.InvalidEnvironment,
    `cannot tune CNI_IFNAME ${JSON.stringify(ifname)}: there is no such interface in ${pod.path}`,
  );
}

const differing = ({ settings }: Found, wanted: Settings): Key[] =>
  keysOf(wanted).filter((key) => settings[key] !== wanted[key]);

/** What makes a link as it is wanted. */
const changesOf = (found: Found, name: string, wanted: Settings): Message[] =>
  changeSettings({ index: found.index, name }, pick(wanted as LinkSettings, differing(found, wanted)));

function compareLink(found: Found | undefined, wanted: Settings, name: string): string[] {
  if (!found) return [`link ${name} does not exist in the container`];
  return differing(found, wanted).map((key) => `${key} of link ${name} is ${found.settings[key]}, not ${wanted[key]}`);
}

/** Changes what differs; CniError 7 for what the kernel does not take. */
function tuneLink(socket: NetlinkSocket, name: string, wanted: Settings): void {
  try {
    setLinkTo(socket, name, wanted);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ERANGE", "EADDRNOTAVAIL")) throw error;
    throw new CniError(Code.InvalidConfig, error.message);
  }
}

/** A link that is gone has nothing to be set. */
function setLinkTo(socket: NetlinkSocket, name: string, wanted: Settings): void {
  const keys = keysOf(wanted);
  const found = keys.length > 0 && findSettings(socket, name);
  if (!found) return;
  socket.request(changesOf(found, name, wanted));
}

/**
 * Restores a pod that is still there: the one CNI_NETNS names, unless that is another pod's namespace, else the one the
 * backup is of.
 */
function putBack(ifname: string, backup: Backup, given?: PodNamespace): void {
  const { netns, cookie } = backup;
  const pod = given ?? (netns !== undefined && cookie !== undefined ? PodNamespace.find(netns, true) : undefined);
  try {
    if (pod && (cookie === undefined || cookie === cookieOf(pod).cookie)) restore(pod, ifname, backup);
  } finally {
    if (pod !== given) pod?.close();
  }
}

/** Both are tried; the first failure is thrown. */
function restore(pod: PodNamespace, name: string, { link, sysctl }: Backup): void {
  try {
    setLinkTo(pod.socket, name, link);
  } finally {
    pod.enter(() => restoreSysctls(sysctl));
  }
}

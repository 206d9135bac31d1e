import type { Undo } from "../attachment/undo.ts";
import { removedMeanwhile } from "../cni/error.ts";
import { tryJson } from "../cni/json.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { isObject } from "../cni/schema.ts";
import { ensureDirectory, findLstat, findText, namesIn, removeFile, withFile } from "../kernel/file.ts";
import { fileName, HASHED } from "../kernel/hash.ts";
import { exists, fsync, isErrno, link, O, rename, stat, writeAll } from "../kernel/linux.ts";
import { encodeUtf8 } from "../net/bytes.ts";

// What an attachment's delegate was told, so that it can be told again when the attachment goes. The reference keeps
// one file for each container, `<dataDir>/<containerid>`, where a second interface or network overwrites the first; it
// is kept too, for the reference to find, as another name of podwire's own, which names all three.

/** Whose it is, and where it is kept. */
export interface Place {
  dataDir: string;
  network: string;
  containerId: string;
  ifname: string;
}

/** `:` occurs in no container id, network or interface name: no name is another attachment's, or the reference's. */
const nameOf = ({ network, containerId, ifname }: Place): string => fileName(`${containerId}:${ifname}:${network}`);

const pathOf = (place: Place): string => `${place.dataDir}/${nameOf(place)}`;
const DRAFT = ".new-";
const draftOf = (place: Place): string => `${place.dataDir}/${DRAFT}${nameOf(place)}`;
const sharedPath = ({ dataDir, containerId }: Pick<Place, "dataDir" | "containerId">): string =>
  `${dataDir}/${containerId}`;

/** Keeps the text, on disk before it returns; `undo` puts back what was kept before. */
export function keepDelegation(place: Place, text: string, undo: Undo): void {
  const written: Written = {};
  ensureDirectory(place.dataDir, 0o700);
  undo.push("forget what the delegate was told", () => {
    // another ADD of the same attachment may have been faster: its own is kept by now
    if (findLstat(pathOf(place))?.inode !== written.inode) removeFile(draftOf(place));
    else if (written.before === undefined) forgetDelegation(place);
    else write(place, written.before, {});
  });
  write(place, text, written);
}

/** The file that was written, and what was in its place before. */
interface Written {
  inode?: bigint;
  before?: string | undefined;
}

function write(place: Place, text: string, written: Written): void {
  const draft = draftOf(place);
  removeFile(draft); // of a call that was killed
  withFile(draft, O.WRONLY | O.CREAT | O.EXCL, 0o600, (fd) => {
    writeAll(fd, encodeUtf8(text));
    fsync(fd);
    written.inode = stat(fd).inode;
  });
  try {
    nameDraft(draft, pathOf(place), written);
    removeFile(sharedPath(place));
    link(pathOf(place), sharedPath(place));
  } catch (error) {
    throw isErrno(error, "ENOENT") ? removedMeanwhile(WHAT, error) : error;
  }
}

/** Notes what had the name before: where nothing had, nobody can have taken it in between. */
function nameDraft(draft: string, path: string, written: Written): void {
  try {
    link(draft, path);
    removeFile(draft);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    written.before = findText(path);
    rename(draft, path);
  }
}

/** CniError 11 where what was kept is gone again. */
export function assertDelegationKept(place: Place): void {
  if (!exists(pathOf(place))) throw removedMeanwhile(WHAT);
}
const WHAT = "what the delegate was told";

/** What the delegate was told; of the reference's file only what is about this network. Undefined where nothing is. */
export function findDelegation(place: Place): JsonObject | undefined {
  const own = decode(findText(pathOf(place)));
  if (own) return own;
  const shared = decode(findText(sharedPath(place)));
  return shared?.["name"] === place.network ? shared : undefined;
}

const decode = (text: string | undefined): JsonObject | undefined => {
  const json = tryJson(text ?? "");
  return isObject(json) ? json : undefined;
};

/** Removes what is kept of the attachment; missing is success. */
export function forgetDelegation(place: Place): void {
  removeFile(draftOf(place));
  const own = findLstat(pathOf(place));
  const shared = findLstat(sharedPath(place));
  const isSame = own && shared && own.inode === shared.inode && own.device === shared.device;
  if (isSame || (!own && findDelegation(place))) removeFile(sharedPath(place));
  removeFile(pathOf(place));
}

/** Removes what is kept of attachments of the network that are not valid. */
export function collectDelegations(
  { dataDir, network }: Pick<Place, "dataDir" | "network">,
  kept: () => readonly { containerId: string; ifname: string }[],
): void {
  const names = namesIn(dataDir);
  const valid = kept();
  for (const name of names) {
    const [containerId, ifname, of] = (name.startsWith(DRAFT) ? name.slice(DRAFT.length) : name).split(":");
    if (of !== network || valid.some((each) => each.containerId === containerId && each.ifname === ifname)) continue;
    forgetDelegation({ dataDir, network, containerId: containerId!, ifname: ifname! });
  }
  const wanted = new Set(valid.map((attachment) => nameOf({ dataDir, network, ...attachment })));
  for (const name of names.filter((each) => each.startsWith(HASHED) && !wanted.has(each))) {
    if (decode(findText(`${dataDir}/${name}`))?.["name"] === network) removeFile(`${dataDir}/${name}`);
  }
  const isTheirs = (name: string): boolean => !name.startsWith(".") && !name.includes(":");
  for (const containerId of names.filter(isTheirs)) {
    const path = sharedPath({ dataDir, containerId });
    const isValid = valid.some((each) => each.containerId === containerId);
    if (!isValid && decode(findText(path))?.["name"] === network) removeFile(path);
  }
}

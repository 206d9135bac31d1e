import { ensureDirectory, findLstat, namesIn, readFile, readLink, removeFile, withFile } from "../kernel/file.ts";
import {
  fchmod,
  fsync,
  link,
  O,
  rename,
  rmdir,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  stat,
  symlink,
  writeAll,
} from "../kernel/linux.ts";
import { processId } from "../kernel/process.ts";
import { isErrno } from "../kernel/system-error.ts";
import { DEFAULT_BIN_DIR } from "../survey/places.ts";

// A plugin folder podwire is installed in: its executable, links to it, and what stood at the names of the links.

export const EXECUTABLE = "podwire";
/** Where install keeps what it replaces: on the same file system, and nothing a runtime would run. */
const KEPT = ".podwire-kept";

export const binDirOption = {
  "--bin-dir": { value: "DIR", about: `where the runtime looks for plugins (${DEFAULT_BIN_DIR})` },
} as const;

/** The folder that was meant, without `/` at its end. */
export const cleanFolder = (folder: string | undefined): string =>
  (folder ?? DEFAULT_BIN_DIR).replace(/(?<=.)\/+$/, "");
export const inFolder = (folder: string, name: string): string => (folder === "/" ? `/${name}` : `${folder}/${name}`);
/** Where what stood in a folder before is kept. */
export const keptIn = (folder: string): string => inFolder(folder, KEPT);

/** What stands at a path, in words; undefined for nothing. Throws where it is no file that could be replaced. */
export function describeFile(path: string): string | undefined {
  const found = findLstat(path);
  if (found === undefined) return undefined;
  if (found.type === S_IFLNK) return `a link to ${readLink(path)}`;
  if (found.type === S_IFREG) return `a file of ${found.size} bytes`;
  throw new Error(`${path} is neither a file nor a link, so it is not replaced`);
}

/** Throws where what stands at a name cannot be kept: the folder for it is none, or a folder is in its place there. */
export function assertKeepable(folder: string, name: string): void {
  const kept = findLstat(keptIn(folder));
  if (kept && kept.type !== S_IFDIR) throw new Error(`${keptIn(folder)} is no folder, so nothing can be kept there`);
  if (kept) describeFile(inFolder(keptIn(folder), name));
}

/** True for a link that install made. */
export const isOwnLink = (path: string): boolean => findLstat(path)?.type === S_IFLNK && readLink(path) === EXECUTABLE;

/** Every name in the folder that leads to podwire. */
export const ownLinks = (folder: string): string[] =>
  namesIn(folder)
    .filter((name) => isOwnLink(inFolder(folder, name)))
    .toSorted();

/** Every name for which something is kept. */
export const keptNames = (folder: string): string[] => namesIn(keptIn(folder)).toSorted();

/**
 * Keeps what stands at a name, in place of what was kept for it before: it came later. It stays where it is, too, so
 * that at every moment something is there for a runtime to run.
 */
export function keep(folder: string, name: string): void {
  const [path, kept] = [inFolder(folder, name), inFolder(keptIn(folder), name)];
  if (findLstat(path) === undefined || isOwnLink(path)) return;
  ensureDirectory(keptIn(folder));
  replace(kept, (temporary) => {
    try {
      link(path, temporary);
    } catch (error) {
      // a file system without hard links, a file that has as many as there can be, or one mounted by itself
      if (!isErrno(error, "EPERM", "EMLINK", "EXDEV", "EOPNOTSUPP")) throw error;
      copy(path, temporary);
    }
  });
}

/** Puts a relative link to the executable at a name, in place of whatever file or link is there. */
export const linkAs = (folder: string, name: string): void =>
  replace(inFolder(folder, name), (temporary) => symlink(EXECUTABLE, temporary));

/** Makes a file beside its place and puts it there in one step. */
function replace(path: string, make: (temporary: string) => void): void {
  const temporary = `${path}.new-${processId()}`;
  try {
    removeFile(temporary); // of an installation that was killed
    make(temporary);
    rename(temporary, path);
  } finally {
    removeFile(temporary);
  }
}

function copy(from: string, to: string): void {
  if (findLstat(from)!.type === S_IFLNK) return symlink(readLink(from), to);
  withFile(to, O.WRONLY | O.CREAT | O.EXCL, 0o700, (fd) => {
    writeAll(fd, readFile(from));
    fchmod(fd, stat(from).mode);
    fsync(fd);
  });
}

/** Gives a name back what was kept for it; where nothing was, only the link goes. */
export function giveBack(folder: string, name: string): void {
  const [path, kept] = [inFolder(folder, name), inFolder(keptIn(folder), name)];
  if (findLstat(kept)) rename(kept, path);
  else removeFile(path);
}

/** Removes the folder of what is kept, once it is empty. */
export function forgetKept(folder: string): void {
  if (findLstat(keptIn(folder)) && keptNames(folder).length === 0) rmdir(keptIn(folder));
}

/** What was renamed survives a crash. */
export const flush = (folder: string): void => withFile(folder, O.RDONLY, 0, fsync);

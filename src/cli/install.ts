import { ensureDirectory, findLstat, readFile, readLink, removeFile, withFile } from "../kernel/file.ts";
import { fchmod, fsync, O, rename, S_IFLNK, S_IFREG, stat, symlink, SystemError, writeAll } from "../kernel/linux.ts";
import { executablePath, processId } from "../kernel/process.ts";
import { type Outcome, runProgram } from "../kernel/program.ts";
import { decodeUtf8, encodeUtf8 } from "../net/bytes.ts";
import { pluginNames } from "../plugins/registry.ts";
import { type Given, UsageError } from "./arguments.ts";
import { command } from "./command.ts";

const DEFAULT_FOLDER = "/opt/cni/bin";
const EXECUTABLE = "podwire";

const options = {
  "--bin-dir": { value: "DIR", about: `where the runtime looks for plugins (${DEFAULT_FOLDER})` },
  "--names": { value: "LIST", about: "the plugins to stand in for, such as bridge,ptp (all there are)" },
  "--dry-run": { about: "say what would be done, and do nothing" },
} as const;

/** Installs this executable as the plugins of a node and says what it did, line by line. */
export const install = command({
  name: "install",
  summary: "copy this executable to a plugin folder and link the plugins' names to it",
  about: [
    "Copies this executable to DIR/podwire and makes links to it, so that a container runtime finds it as its plugins.",
  ],
  root: "write to the plugin folder",
  options,
  say(given) {
    const request = parseRequest(given);
    const isDry = given.has("--dry-run");
    const lines = isDry ? [...describe(request, "would copy", "would link"), "nothing was changed"] : apply(request);
    return { text: `${lines.join("\n")}\n`, facts: { folder: request.folder, names: request.names, changed: !isDry } };
  },
});

interface Request {
  folder: string;
  names: readonly string[];
}

function parseRequest(given: Given<keyof typeof options>): Request {
  const list = given.find("--names");
  const folder = given.find("--bin-dir") ?? DEFAULT_FOLDER;
  return { folder: folder.replace(/(?<=.)\/+$/, ""), names: list === undefined ? pluginNames : parseNames(list) };
}

function parseNames(list: string): string[] {
  const names = [...new Set(list.split(",").filter((name) => name !== ""))];
  const unknown = names.filter((name) => !pluginNames.includes(name));
  if (unknown.length > 0) {
    throw new UsageError(`podwire is no plugin named ${unknown.join(", ")}; it is ${pluginNames.join(", ")}`);
  }
  if (names.length === 0) throw new UsageError("--names is empty");
  return names;
}

const inFolder = (folder: string, name: string): string => (folder === "/" ? `/${name}` : `${folder}/${name}`);

/** What is done, in words; throws where something cannot be replaced. */
function describe({ folder, names }: Request, copied: string, linked: string): string[] {
  const target = inFolder(folder, EXECUTABLE);
  const links = names.map((name) => inFolder(folder, name));
  return [
    `${copied} ${executablePath()} to ${target}${replacing(target)}`,
    ...links.map((path) => `${linked} ${path} to ${EXECUTABLE}${replacing(path)}`),
  ];
}

function apply(request: Request): string[] {
  const { folder, names } = request;
  const lines = describe(request, "copied", "linked"); // first: what is refused is refused before anything is done
  ensureDirectory(folder);
  copySelf(inFolder(folder, EXECUTABLE));
  for (const name of names) linkAs(inFolder(folder, name));
  withFile(folder, O.RDONLY, 0, fsync); // the renames survive a crash
  return lines;
}

/** What stands at a path now, as the end of a sentence; empty when nothing does. */
function replacing(path: string): string {
  const found = findLstat(path);
  if (found === undefined) return "";
  if (found.type === S_IFLNK) return `, in place of a link to ${readLink(path)}`;
  if (found.type === S_IFREG) return `, in place of a file of ${found.size} bytes`;
  throw new Error(`${path} is neither a file nor a link, so it is not replaced`);
}

/** More than any executable of podwire's has. */
const MOST_BYTES = 256 << 20;

/**
 * Puts a copy of this executable at `target` so that at every moment a whole, working one is there: a runtime may start
 * it at any time, and the old one may be running (it keeps its inode; writing into it would be ETXTBSY).
 */
function copySelf(target: string): void {
  const temporary = `${target}.new-${processId()}`;
  try {
    removeFile(temporary); // of an installation that was killed
    // O_EXCL follows no link. One large write, not copy_file_range: the page cache then holds the file in large folios,
    // and every later call is 5 % faster
    withFile(temporary, O.WRONLY | O.CREAT | O.EXCL, 0o700, (fd) => {
      writeAll(fd, readFile("/proc/self/exe", MOST_BYTES));
      fchmod(fd, 0o755);
      fsync(fd);
    });
    assertWorks(temporary);
    rename(temporary, target);
  } finally {
    removeFile(temporary);
  }
}

const TEST_DEADLINE_MS = 10_000;

/** Throws unless the copy runs here and answers VERSION. */
function assertWorks(path: string): void {
  const { exitCode, signal, timedOut, stdout, stderr } = askVersion(path);
  if (exitCode === 0 && decodeUtf8(stdout).includes('"supportedVersions"')) return;
  const end = timedOut
    ? `no end within ${TEST_DEADLINE_MS / 1000} s`
    : signal === undefined
      ? `exit ${exitCode}`
      : `killed by ${signal}`;
  throw new Error(
    `the copy ${path} does not answer VERSION (size ${stat(path).size}, ${end}): ` +
      `${decodeUtf8(stderr) || decodeUtf8(stdout)}`,
  );
}

function askVersion(path: string): Outcome {
  try {
    return runProgram(path, {
      argv0: "bridge",
      args: [],
      environment: ["CNI_COMMAND=VERSION"],
      input: encodeUtf8("{}"),
      deadlineMs: TEST_DEADLINE_MS,
    });
  } catch (error) {
    if (error instanceof SystemError) {
      throw new Error(`the copy ${path} does not run here: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

/** Puts a relative link to the executable at `path`, replacing whatever file or link is there in one step. */
function linkAs(path: string): void {
  const temporary = `${path}.new-${processId()}`;
  try {
    removeFile(temporary);
    symlink(EXECUTABLE, temporary);
    rename(temporary, path);
  } finally {
    removeFile(temporary);
  }
}

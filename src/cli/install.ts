import { version } from "../../package.json";
import { ensureDirectory } from "../kernel/file.ts";
import { SystemError } from "../kernel/linux.ts";
import { executablePath } from "../kernel/process.ts";
import { runProgram } from "../kernel/program.ts";
import { decodeUtf8 } from "../net/bytes.ts";
import { pluginNames } from "../plugins/registry.ts";
import { type Given, UsageError } from "./arguments.ts";
import { command } from "./command.ts";
import { copySelf } from "./copy-self.ts";
import {
  assertKeepable,
  binDirOption,
  cleanFolder,
  describeFile,
  EXECUTABLE,
  flush,
  inFolder,
  isOwnLink,
  keep,
  keptIn,
  linkAs,
} from "./plugin-links.ts";
import { toText } from "./terminal.ts";

const options = {
  ...binDirOption,
  "--names": { value: "LIST", about: "the plugins to stand in for, such as bridge,ptp (all there are)" },
  "--dry-run": { about: "say what would be done, and do nothing" },
} as const;

/** Installs this executable as the plugins of a node and says what it did, line by line. */
export const install = command({
  name: "install",
  summary: "copy this executable to a plugin folder and link the plugins' names to it",
  about: [
    "Copies this executable to DIR/podwire and makes links to it, so that a container runtime finds it as its " +
      "plugins. What stood at the names of the links is kept in DIR/.podwire-kept; podwire uninstall puts it back.",
  ],
  root: "write to the plugin folder",
  options,
  say(given) {
    const request = parseRequest(given);
    const isDry = given.has("--dry-run");
    const lines = isDry ? [...describe(request, "would"), "nothing was changed"] : apply(request);
    return { text: toText(lines), facts: { folder: request.folder, names: request.names, changed: !isDry } };
  },
});

interface Request {
  folder: string;
  names: readonly string[];
}

function parseRequest(given: Given<keyof typeof options>): Request {
  const list = given.find("--names");
  return { folder: cleanFolder(given.find("--bin-dir")), names: list === undefined ? pluginNames : parseNames(list) };
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

/** What is done, in words; throws where something cannot be replaced. */
function describe({ folder, names }: Request, would: string): string[] {
  const target = inFolder(folder, EXECUTABLE);
  const paths = names.map((name) => inFolder(folder, name));
  const isKept = (path: string): boolean => describeFile(path) !== undefined && !isOwnLink(path);
  const kept = paths.filter(isKept);
  for (const name of names) if (isKept(inFolder(folder, name))) assertKeepable(folder, name);
  const verb = (infinitive: string, past: string): string => (would === "" ? past : `${would} ${infinitive}`);
  return [
    ...kept.map((path) => `${verb("keep", "kept")} ${path}, ${describeFile(path)}, in ${keptIn(folder)}`),
    `${verb("copy", "copied")} ${executablePath()} to ${target}${replacing(target)}`,
    ...paths.map((path) => `${verb("link", "linked")} ${path} to ${EXECUTABLE}`),
  ];
}

function apply(request: Request): string[] {
  const { folder, names } = request;
  const lines = describe(request, ""); // first: what is refused is refused before anything is done
  ensureDirectory(folder);
  copySelf(inFolder(folder, EXECUTABLE));
  for (const name of names) {
    keep(folder, name);
    linkAs(folder, name);
  }
  flush(folder); // the renames survive a crash
  return lines;
}

const ASK_DEADLINE_MS = 10_000;

/** What the executable stands in place of, as the end of a sentence; empty for nothing. */
function replacing(target: string): string {
  const file = describeFile(target);
  if (file === undefined) return "";
  const old = versionOf(target);
  if (old === undefined) return `, in place of ${file}`;
  return `, in place of podwire ${old}${isNewer(old, version) ? `, which is newer than this one, ${version}` : ""}`;
}

/** The version an installed podwire says it has; undefined where it says nothing. */
function versionOf(file: string): string | undefined {
  try {
    const { stdout } = runProgram(file, {
      args: ["--version"],
      environment: [],
      input: new Uint8Array(0),
      deadlineMs: ASK_DEADLINE_MS,
    });
    return /^podwire (\d+\.\d+\.\d+)\s*$/.exec(decodeUtf8(stdout))?.[1];
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

function isNewer(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => text.split(".").map(Number));
  const at = a!.findIndex((number, n) => number !== b![n]);
  return at >= 0 && a![at]! > b![at]!;
}

import { describe, formatPath } from "../cni/complaint.ts";
import { CniError } from "../cni/error.ts";
import { dns } from "../cni/fields.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { isRemark } from "../cni/known-keys.ts";
import { parseConfig, WrongKeys } from "../cni/reading.ts";
import { boolean, isObject, map, optional, shape, text } from "../cni/schema.ts";
import { isSupported, newest, oldest, type Version, versions } from "../cni/versions.ts";
import { nearMiss } from "../net/nearest.ts";
import { isIdentifier, identifierRule } from "../protocol/environment.ts";
import type { Path } from "./json-places.ts";

/** Something wrong with a configuration, in words that begin with the path; `path` is where to look. */
export interface Problem {
  path: Path;
  text: string;
  /** it works, but probably not as it was meant */
  isWarning?: boolean;
}

/** One plugin of a list: its configuration as it is written, and where. */
export interface ListedPlugin {
  path: Path;
  config: JsonObject;
}

/** A network as a runtime reads it; a configuration of a single plugin is a list of one. */
export interface NetworkList {
  name: string;
  /** what every plugin is told: of several the highest that is known */
  cniVersion: Version;
  disableCheck: boolean;
  disableGC: boolean;
  /** no further plugins are looked for in the folder beside the file that has the network's name */
  loadOnlyInlinedPlugins: boolean;
  plugins: ListedPlugin[];
}

const switches = ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"] as const;
const listKeys = ["cniVersion", "cniVersions", "name", "plugins", ...switches];

/**
 * A network by libcni's rules (v1.3.0, conf.go), with everything that is wrong. Keys of a list count as they are
 * spelled, those of a plugin in any case.
 */
export function readNetworkList(json: JsonObject): { list: NetworkList; problems: Problem[] } {
  const isSingle = json["plugins"] === undefined && typeof json["type"] === "string";
  const problems: Problem[] = [];
  const [disableCheck, disableGC, loadOnlyInlinedPlugins] = switches.map((key) => readSwitch(json, key, problems));
  const plugins = isSingle ? [{ path: [], config: json }] : readPlugins(json, problems);
  const list = {
    name: readName(json, problems),
    cniVersion: readVersion(json, problems),
    disableCheck: disableCheck!,
    disableGC: disableGC!,
    loadOnlyInlinedPlugins: loadOnlyInlinedPlugins!,
    plugins,
  };
  for (const plugin of plugins) problems.push(...pluginProblems(plugin));
  if (!isSingle) problems.push(...unknownKeys(json));
  return { list, problems };
}

const wrong = (path: Path, input: unknown, must: string): Problem => ({
  path,
  text: describe({ path, input, must }, ""),
});

function readName({ name }: JsonObject, problems: Problem[]): string {
  if (typeof name === "string" && isIdentifier(name)) return name;
  problems.push(wrong(["name"], name, `must be ${typeof name === "string" ? identifierRule : "the network's name"}`));
  return "";
}

function readSwitch(json: JsonObject, key: (typeof switches)[number], problems: Problem[]): boolean {
  const value = json[key] ?? false;
  const written = typeof value === "string" ? value.toLowerCase() : String(value);
  if ((typeof value !== "boolean" && typeof value !== "string") || !["true", "false"].includes(written)) {
    problems.push(wrong([key], value, "must be true or false"));
  }
  return written === "true";
}

/** The highest version that podwire and libcni know, of `cniVersions` and `cniVersion`. */
function readVersion({ cniVersion, cniVersions = [] }: JsonObject, problems: Problem[]): Version {
  const known = versions.map((version) => JSON.stringify(version)).join(", ");
  const listed = Array.isArray(cniVersions) ? (cniVersions as unknown[]) : [];
  if (!Array.isArray(cniVersions)) problems.push(wrong(["cniVersions"], cniVersions, "must be a list of versions"));
  listed.forEach((version, at) => {
    const isVersion = typeof version === "string" && /^\d+(\.\d+){0,2}$/.test(version);
    if (!isVersion) problems.push(wrong(["cniVersions", at], version, 'must be a version, such as "1.0.0"'));
  });
  const candidates = [...listed, cniVersion].filter((version) => isSupported(version));
  const isWritten = cniVersion !== undefined && cniVersion !== "";
  if (isWritten && (typeof cniVersion !== "string" || (!isSupported(cniVersion) && candidates.length === 0))) {
    problems.push(wrong(["cniVersion"], cniVersion, `must be one of ${known}`));
    return newest;
  }
  if (!isWritten && candidates.length === 0) {
    const text = `cniVersion is missing, which means ${oldest}: a runtime then never calls CHECK, STATUS or GC`;
    problems.push({ path: ["cniVersion"], text, isWarning: true });
  }
  return candidates.toSorted((a, b) => versions.indexOf(a) - versions.indexOf(b)).at(-1) ?? oldest;
}

function readPlugins({ plugins, loadOnlyInlinedPlugins }: JsonObject, problems: Problem[]): ListedPlugin[] {
  if (plugins === undefined && loadOnlyInlinedPlugins !== true) return []; // they may be in files of their own
  if (!Array.isArray(plugins) || plugins.length === 0) {
    problems.push(wrong(["plugins"], plugins, "must be a list of at least one plugin's configuration"));
    return [];
  }
  return plugins.flatMap((config: unknown, at) => {
    if (isObject(config)) return [{ path: ["plugins", at], config }];
    problems.push(wrong(["plugins", at], config, "must be an object"));
    return [];
  });
}

/** What libcni itself reads of a plugin's configuration. */
const pluginShape = shape({
  type: text("the name of a plugin's executable", (type) => type !== "" && !/[/\0]/.test(type)),
  name: optional(text()),
  cniVersion: optional(text()),
  capabilities: optional(map(boolean)),
  ipam: optional(shape({ type: optional(text()) })),
  dns: optional(dns),
});

const pluginProblems = ({ path, config }: ListedPlugin): Problem[] =>
  problemsOf(path, () => parseConfig(pluginShape, config));

/** What a reader of a configuration complains about: every wrong key, or the one thing that kept it from reading. */
export function problemsOf(path: Path, read: () => unknown): Problem[] {
  try {
    read();
    return [];
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    if (!(error instanceof WrongKeys)) {
      return [{ path, text: `${path.length > 0 ? `${formatPath(path)}: ` : ""}${error.message}` }];
    }
    return error.wrong.map((one) => wrong([...path, ...one.path], one.input, one.must));
  }
}

const unknownKeys = (json: JsonObject): Problem[] =>
  Object.keys(json)
    .filter((key) => !listKeys.includes(key) && !isRemark(key))
    .map((key) => unknownKey([key], nearMiss(key, listKeys)));

/** A key that nothing reads, with the one that was probably meant. */
export const unknownKey = (path: Path, meant: string | undefined): Problem => ({
  path,
  text: `${formatPath(path)} is unknown${meant === undefined ? ": nothing reads it" : `; ${meant}?`}`,
  isWarning: true,
});

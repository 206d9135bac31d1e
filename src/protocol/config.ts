import { decodeUtf8 } from "../net/bytes.ts";
import { isIdentifier, identifierRule } from "./environment.ts";
import { Code, CniError } from "../cni/error.ts";
import type { Invocation, JsonObject, Verb } from "../cni/invocation.ts";
import { dns } from "../cni/fields.ts";
import { explainJson, isStackOverflow } from "../cni/json.ts";
import { type Log, logLevels } from "../cni/log.ts";
import type { Result } from "../cni/result.ts";
import { decodePrevResult } from "./result-shapes.ts";
import { parseConfig, parseLeniently } from "../cni/reading.ts";
import {
  anything,
  choice,
  decoded,
  isObject,
  list,
  map,
  optional,
  optionalOrEmpty,
  orElse,
  type Schema,
  shape,
  text,
} from "../cni/schema.ts";
import { assertVerbAllowed, isSupported, newest, parseVersion, type Version } from "../cni/versions.ts";

export type ConfigPart = Pick<Invocation, "config" | "network" | "prevResult"> & {
  cniVersion: Version;
  /** undefined where a GC was given no list, which is not an empty one */
  validAttachments: Invocation["validAttachments"] | undefined;
};

/**
 * Standard input as a JSON object, keys as they were written. Throws code 6 for anything else; `null` counts as `{}`,
 * as in Go.
 */
export function parseDocument(stdin: Uint8Array): JsonObject {
  if (stdin.length === 0) throw undecodable("there is no configuration on standard input");
  const json = parseJson(decodeUtf8(stdin));
  if (json === null) return {};
  if (!isObject(json)) throw undecodable("it is JSON but not an object");
  return json;
}

const undecodable = (why: string, details = ""): CniError =>
  new CniError(Code.Decode, `error unmarshall network config: ${why}`, details);

const BYTE_ORDER_MARK = "\ufeff";

function parseJson(text: string): unknown {
  if (text.startsWith(BYTE_ORDER_MARK)) {
    throw undecodable("it begins with a byte order mark (U+FEFF), which JSON does not have");
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    if (isStackOverflow(error)) throw undecodable("it is nested too deeply");
    if (!(error instanceof SyntaxError)) throw error;
    throw undecodable("it is not JSON", explainJson(text));
  }
}

const versionAlone = shape({ cniVersion: optional(text()) });

/** The version an answer to this configuration has, whatever else is wrong with it. */
export function answerVersion(config: JsonObject): Version {
  const { cniVersion } = parseLeniently(versionAlone, config).value;
  return isSupported(cniVersion) ? cniVersion : cniVersion === undefined || cniVersion === "" ? "0.1.0" : newest;
}

const logSettings = shape({ file: optionalOrEmpty(text()), level: optional(choice(...logLevels)) });

const logAlone = shape({ log: optional(logSettings) });

/** How a configuration spells a key (the later of two counts), undefined where it has none. */
const keyOf = (config: JsonObject, name: string): string | undefined =>
  Object.keys(config).findLast((key) => key.toLowerCase() === name);

/** Where the configuration wants its log; what is wrong there is left for `parseBase` to complain about. */
export const readLogSettings = (config: JsonObject) =>
  (keyOf(config, "log") ? parseLeniently(logAlone, config).value.log : undefined) ?? {}; // most have none

const typeAlone = shape({ type: orElse(text(), "") });

/** CniError 7 for a list of configurations: a runtime takes it apart, and gives a plugin its own. */
function refuseList(config: JsonObject): void {
  if (keyOf(config, "plugins") === undefined || keyOf(config, "type") !== undefined) return;
  throw new CniError(
    Code.InvalidConfig,
    "this is a list of configurations (it has plugins and no type): a plugin is given one of them; " +
      "cnitool runs such a file as a runtime does",
  );
}

/** The plugin a configuration names, for an executable that is called by none of their names. */
export const readType = (config: JsonObject): string => parseConfig(typeAlone, config).type;

/**
 * CniError 7 for what names no plugin: it is no plugin's configuration but another file, which would wire a pod by
 * defaults alone.
 */
export function assertHasType(config: JsonObject): void {
  if (readType(config) !== "") return;
  throw new CniError(Code.InvalidConfig, "invalid configuration: type is missing, must be the name of a plugin");
}

const baseKeys = {
  name: orElse(text(), ""),
  cniVersion: orElse(text(), ""),
  log: optional(logSettings),
  prevResult: optional(anything()),
};
const base = shape(baseKeys);
/** DEL does without a log it cannot read. */
const baseOfDel = shape({ ...baseKeys, log: optional(anything()) });

/** What reads the keys every plugin has; what is meant for others, or comes from a runtime, is theirs. */
export const commonSchema: Schema = shape({
  ...baseKeys,
  type: optional(text()),
  dns: optional(dns),
  capabilities: optional(map(anything())),
  args: optional(anything()),
  runtimeConfig: optional(anything()),
});

/** The keys every plugin has: name, version, prevResult and what GC must leave alone. */
export function parseBase(config: JsonObject, verb: Verb, log: Log): ConfigPart {
  const { name, cniVersion: version, prevResult: previous } = parseConfig(verb === "DEL" ? baseOfDel : base, config);
  refuseList(config);
  if (name === "") throw new CniError(Code.InvalidConfig, "missing network name");
  if (!isIdentifier(name)) {
    throw new CniError(Code.InvalidConfig, `invalid characters found in network name: must be ${identifierRule}`, name);
  }
  const cniVersion = parseVersion(version);
  assertVerbAllowed(verb, cniVersion);
  const prevResult = previous === undefined ? undefined : readPrevResult(previous, { cniVersion, verb, log });
  return {
    config,
    network: name,
    cniVersion,
    ...(prevResult && { prevResult }),
    validAttachments: verb === "GC" ? readValidAttachments(config) : [],
  };
}

/** ADD and CHECK must not go on with a result they cannot read; removal does without. */
function readPrevResult(
  json: unknown,
  { cniVersion, verb, log }: { cniVersion: Version; verb: Verb; log: Log },
): Result | undefined {
  try {
    return decodePrevResult(json, cniVersion);
  } catch (error) {
    if (verb === "ADD" || verb === "CHECK" || !(error instanceof CniError)) throw error;
    log.warn(`going on without prevResult: ${error.message}`);
    return undefined;
  }
}

const identifier = decoded((value) => (typeof value === "string" && value !== "" ? value : undefined), "a name");
const VALID_ATTACHMENTS = "cni.dev/valid-attachments";
const validAttachments = shape({
  [VALID_ATTACHMENTS]: list(shape({ containerID: identifier, ifname: identifier })),
});

/**
 * The attachments GC must keep; an entry that cannot be read is an error. libcni and ocicni write null for an empty
 * list (an empty slice of Go), cnitool leaves the key out: that says nothing, and must not be read as "none is valid".
 */
function readValidAttachments(config: JsonObject): ConfigPart["validAttachments"] {
  const key = keyOf(config, VALID_ATTACHMENTS);
  if (key === undefined) return undefined;
  if (config[key] === null) return [];
  return parseConfig(validAttachments, config)[VALID_ATTACHMENTS].map(({ containerID, ifname }) => ({
    containerId: containerID,
    ifname,
  }));
}

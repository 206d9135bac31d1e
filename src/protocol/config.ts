import { decodeUtf8 } from "../net/bytes.ts";
import { isIdentifier, identifierRule } from "./environment.ts";
import { Code, CniError } from "../cni/error.ts";
import type { Invocation, JsonObject, Verb } from "../cni/invocation.ts";
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
  optional,
  optionalOrEmpty,
  orElse,
  shape,
  text,
} from "../cni/schema.ts";
import { assertVerbAllowed, isSupported, newest, parseVersion, type Version } from "../cni/versions.ts";

export type ConfigPart = Pick<Invocation, "config" | "network" | "prevResult" | "validAttachments"> & {
  cniVersion: Version;
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

const hasLog = (config: JsonObject): boolean => Object.keys(config).some((key) => key.toLowerCase() === "log");

/** Where the configuration wants its log; what is wrong there is left for `parseBase` to complain about. */
export const readLogSettings = (config: JsonObject) =>
  (hasLog(config) ? parseLeniently(logAlone, config).value.log : undefined) ?? {}; // most have none

const typeAlone = shape({ type: orElse(text(), "") });

/** The plugin a configuration names, for an executable that is called by none of their names. */
export const readType = (config: JsonObject): string => parseConfig(typeAlone, config).type;

const baseKeys = {
  name: orElse(text(), ""),
  cniVersion: orElse(text(), ""),
  log: optional(logSettings),
  prevResult: optional(anything()),
};
const base = shape(baseKeys);
/** DEL does without a log it cannot read. */
const baseOfDel = shape({ ...baseKeys, log: optional(anything()) });

/** The keys every plugin has: name, version, prevResult and what GC must leave alone. */
export function parseBase(config: JsonObject, verb: Verb, log: Log): ConfigPart {
  const { name, cniVersion: version, prevResult: previous } = parseConfig(verb === "DEL" ? baseOfDel : base, config);
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
const validAttachments = shape({
  "cni.dev/valid-attachments": list(shape({ containerID: identifier, ifname: identifier })),
});

/**
 * The attachments GC must keep. A runtime that was given no list leaves the key out or sends null: that must not be
 * read as "nothing is valid", so it is an error, as is an entry that cannot be read.
 */
function readValidAttachments(config: JsonObject): Invocation["validAttachments"] {
  return parseConfig(validAttachments, config)["cni.dev/valid-attachments"].map(({ containerID, ifname }) => ({
    containerId: containerID,
    ifname,
  }));
}

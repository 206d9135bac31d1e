import { answerVersion, assertHasType, parseBase, parseDocument, readLogSettings, readType } from "./config.ts";
import { type Environment, type EnvironmentPart, parseEnvironment } from "./environment.ts";
import { Code, CniError, codeFor, messageOf, OUT_OF_MEMORY } from "../cni/error.ts";
import type { Invocation, JsonObject, Plugin } from "../cni/invocation.ts";
import { printCompactJson, printJson } from "../cni/json.ts";
import { lineLog, type Log, quietLog } from "../cni/log.ts";
import { formatPath } from "../cni/complaint.ts";
import { findUnknownKeys } from "../cni/known-keys.ts";
import { encodeResult } from "./result-shapes.ts";
import { newest, versions } from "../cni/versions.ts";

/** What dispatch touches of the world. */
export interface Edges {
  environment: Environment;
  /** standard input to its end; with `firstByteMs`, nothing when nothing came by then */
  readStdin(firstByteMs?: number): Uint8Array;
  /** the name the executable was called by; where it is no plugin's, the configuration's `type` decides */
  invokedAs: string;
  pluginNames: readonly string[];
  findPlugin(name: string): Plugin | undefined;
  /** appends a line to a log file, or to standard error for "stderr"; may throw */
  append(file: string, line: string): void;
  /** one line for people, on standard error */
  complain(message: string): void;
  /** milliseconds of a clock that only goes forward */
  now(): number;
}

/** What the process prints and how it ends. */
export interface Answer {
  stdout: string;
  exitCode: number;
}

/** A runtime that asks for VERSION sends its own on standard input; a person at a terminal does not. */
const VERSION_INPUT_MS = 500;

/** What a `type` of podwire's own name is. */
const DEFAULT_PLUGIN = "bridge";

/** One call by a runtime, from environment and standard input to the answer; the only place that catches everything. */
export function dispatch(edges: Edges): Answer {
  let config: JsonObject | undefined;
  let log: Log = quietLog();
  try {
    const part = parseEnvironment(edges.environment);
    if (part.verb === "VERSION") return answerToVersion(edges);
    const stdin = readStdin(edges);
    config = parseDocument(stdin);
    log = openLog(edges, config, part);
    const base = parseBase(config, part.verb, log);
    const plugin = edges.findPlugin(edges.invokedAs) ?? getPlugin(edges, readType(config));
    if (part.verb === "ADD") {
      assertHasType(config);
      warnOfSlips(plugin, config, log);
    }
    const { validAttachments } = base;
    if (part.verb === "GC" && !validAttachments) {
      log.warn("GC was given no cni.dev/valid-attachments: nothing is removed");
    }
    const stdout =
      part.verb === "GC" && !validAttachments
        ? ""
        : run(plugin, { ...part, ...base, validAttachments: validAttachments ?? [], stdin, log });
    log.finish("ok");
    return { stdout, exitCode: 0 };
  } catch (error) {
    const failure = toCniError(error);
    log.finish({ code: failure.code, msg: withoutValues(failure) });
    return { stdout: printError(failure, config ? answerVersion(config) : newest), exitCode: 1 };
  }
}

/** What arguments and configurations say may be secret: a log names the key, and what it must be. */
const aboutInput: readonly number[] = [Code.InvalidEnvironment, Code.Decode, Code.InvalidConfig];

const withoutValues = ({ code, message }: CniError): string =>
  aboutInput.includes(code)
    ? message
        .replaceAll(/ is (?:"(?:[^"\\]|\\.)*"|.*?)(?:\.\.\.)?, must /gs, ", must ")
        .replaceAll(/ pair "(?:[^"\\]|\\.)*"/g, " pair")
        .replace(/unknown args \[.*\]/s, "unknown args")
    : message;

function getPlugin({ findPlugin, pluginNames }: Edges, type: string): Plugin {
  const plugin = findPlugin(type === "podwire" ? DEFAULT_PLUGIN : type);
  if (plugin) return plugin;
  throw new CniError(
    Code.InvalidConfig,
    `invalid configuration: type is ${JSON.stringify(type)}, must be one of ${pluginNames.join(", ")}`,
  );
}

/** A key that nothing reads and that looks like one that is read was mistyped: the pod gets something else. */
function warnOfSlips(plugin: Plugin, config: JsonObject, log: Log): void {
  for (const { path, meant } of findUnknownKeys(plugin.known(config), config)) {
    if (meant !== undefined) log.warn(`${formatPath(path)} is unknown; ${meant}?`);
  }
}

function run(plugin: Plugin, call: Invocation & { cniVersion: (typeof versions)[number] }): string {
  switch (call.verb) {
    case "ADD":
      return `${encodeResult(plugin.add(call), call.cniVersion)}\n`;
    case "CHECK":
      plugin.check(call);
      return "";
    case "DEL":
      plugin.del(call);
      return "";
    case "GC":
      plugin.gc(call);
      return "";
    case "STATUS":
      plugin.status(call);
      return "";
    case "VERSION":
      throw new Error("VERSION is answered before");
  }
}

/** The version of the input where it is one of ours, and every version there is; in the reference's form, one line. */
function answerToVersion(edges: Edges): Answer {
  const input = edges.readStdin(VERSION_INPUT_MS);
  let cniVersion = newest;
  try {
    cniVersion = answerVersion({ cniVersion: newest, ...parseDocument(input) });
  } catch (error) {
    if (!(error instanceof CniError)) throw error; // no configuration, or none that can be read: the newest it is
  }
  return { stdout: `${printCompactJson({ cniVersion, supportedVersions: versions })}\n`, exitCode: 0 };
}

function readStdin(edges: Edges): Uint8Array {
  try {
    return edges.readStdin();
  } catch (error) {
    if (error === null) throw toCniError(error);
    throw new CniError(codeFor(error, Code.Io), `error reading from stdin: ${messageOf(error)}`, "", { cause: error });
  }
}

/**
 * The log of the configuration's `log` key, else of PODWIRE_LOG, else none; one that cannot be written is mentioned and
 * forgotten.
 */
function openLog(edges: Edges, config: JsonObject, { verb, containerId, ifname }: EnvironmentPart): Log {
  const settings = readLogSettings(config);
  const file = settings.file ?? edges.environment.PODWIRE_LOG;
  const quiet = quietLog((message) => edges.complain(`warning: ${message}`));
  if (!file) return quiet;
  if (file !== "stderr" && !file.startsWith("/")) {
    // the folder a runtime happens to stand in may be a container's
    const key = settings.file === undefined ? "PODWIRE_LOG" : "log.file";
    edges.complain(`cannot write the log: ${key} is ${JSON.stringify(file)}, must be an absolute path or "stderr"`);
    return quiet;
  }
  const plugin = edges.pluginNames.includes(edges.invokedAs) ? edges.invokedAs : textOf(config.type);
  const subject = { verb, plugin, network: textOf(config.name), container: containerId, interface: ifname };
  let isWritable = true;
  const write = (line: string): void => {
    if (!isWritable) return;
    try {
      edges.append(file, line);
    } catch (error) {
      isWritable = false;
      edges.complain(`cannot write the log: ${messageOf(error)}`);
    }
  };
  return lineLog(subject, settings.level ?? "info", { write, now: edges.now });
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/**
 * Calls on files; what the kernel says about links, routes and sockets is no I/O error in the specification's sense.
 */
const fileCalls = [
  "open",
  "read",
  "write",
  "fsync",
  "fchmod",
  "link",
  "symlink",
  "unlink",
  "rename",
  "mkdir",
  "rmdir",
  "readlink",
  "access",
  "statx",
  "statfs",
  "getdents64",
  "flock",
];
/** Any error as a runtime may hear it: never a stack trace. */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error === null) return new CniError(Code.TryAgainLater, OUT_OF_MEMORY);
  if (!(error instanceof Error)) return new CniError(Code.Internal, "internal error", String(error));
  // the engine's own words for a lack of memory, where it has enough left to make an error
  if (error.message === "out of memory") return new CniError(Code.TryAgainLater, OUT_OF_MEMORY);
  const details = causesOf(error).join(": ");
  if (error.name !== "SystemError") {
    return new CniError(Code.Internal, `internal error: ${error.message || error.name}`, details || error.name, {
      cause: error,
    });
  }
  const { syscall = "" } = error as { syscall?: string };
  const code = codeFor(error, fileCalls.includes(syscall) ? Code.Io : Code.Internal);
  return new CniError(code, error.message, details, { cause: error });
}

const causesOf = (error: Error): string[] =>
  error.cause instanceof Error ? [error.cause.message, ...causesOf(error.cause)] : [];

/**
 * Runtimes keep errors whole, in logs and events, where a value of a megabyte helps nobody: longer text loses its
 * middle.
 */
const LONGEST_TEXT = 8_000;
const KEPT_END = 1_000;

const cut = (text: string): string =>
  text.length <= LONGEST_TEXT
    ? text
    : `${text.slice(0, LONGEST_TEXT - KEPT_END)} ... (${text.length - LONGEST_TEXT} characters) ... ` +
      text.slice(-KEPT_END);

const printError = ({ code, message, details }: CniError, cniVersion: string): string =>
  `${printJson({ cniVersion, code, msg: cut(message), ...(details && { details: cut(details) }) })}\n`;

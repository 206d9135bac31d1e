import { monotonicMs } from "../kernel/clock.ts";
import { findStat } from "../kernel/file.ts";
import { S_IFREG, sleep, SystemError } from "../kernel/linux.ts";
import { type Outcome, runProgram } from "../kernel/program.ts";
import { environmentEntries } from "../kernel/process.ts";
import { complain } from "../kernel/stderr.ts";
import { decodeUtf8 } from "../net/bytes.ts";
import { Code, CniError, codeFor } from "../cni/error.ts";
import type { Invocation, Verb } from "../cni/invocation.ts";
import { tryJson } from "../cni/json.ts";
import type { Result } from "../cni/result.ts";
import { decodeDelegateResult } from "../protocol/result-shapes.ts";
import { parseLeniently } from "../cni/reading.ts";
import { integer, optional, orElse, shape, text } from "../cni/schema.ts";
import { parseVersion } from "../cni/versions.ts";

/** No IPAM plugin takes this long; one that hangs must not hang the runtime for ever. */
const DEADLINE_MS = 5 * 60_000;
/** How long an executable may be "busy": somebody is writing it, as an installer does (ETXTBSY). */
const BUSY_MS = 6_000;
const BUSY_PAUSE_US = 50_000;

type Call = Pick<Invocation, "verb" | "path" | "stdin" | "cniVersion" | "log">;

/**
 * ADD by another plugin of CNI_PATH: its result with the interfaces dropped, whatever version it spoke. The caller runs
 * its DEL after any failure, this one too: the plugin may have done half of it.
 */
export function delegateAdd(call: Call, type: string, deadlineMs = DEADLINE_MS): Result {
  const stdout = execute(call, { type, file: getPluginFile(call, type), verb: "ADD", deadlineMs });
  const result = decodeDelegateResult(parseAnswer(stdout, type), parseVersion(call.cniVersion), type);
  return { ...result, interfaces: [], ips: result.ips.map(({ interface: _dropped, ...one }) => one) };
}

/** Any verb but ADD by another plugin of CNI_PATH; its error is thrown unchanged. */
export function delegateVerb(call: Call, type: string, verb: Verb = call.verb, deadlineMs = DEADLINE_MS): void {
  execute(call, { type, file: getPluginFile(call, type), verb, deadlineMs });
}

/**
 * The file of a plugin: the first directory of CNI_PATH with a regular file of that name. Throws code 7 naming
 * `ipam.type`.
 */
export function getPluginFile({ path }: Pick<Invocation, "path">, type: string): string {
  if (type === "" || type === "." || type === ".." || type.includes("/")) {
    throw new CniError(
      Code.InvalidConfig,
      `invalid configuration: ipam.type is ${JSON.stringify(type)}, must be the name of a plugin's executable`,
    );
  }
  const directories = path.split(":").filter(Boolean);
  const file = directories.map((directory) => `${directory}/${type}`).find(isRegularFile);
  if (file) return file;
  if (directories.length === 0) {
    throw new CniError(
      Code.InvalidEnvironment,
      `CNI_PATH is not set: it says where plugin "${type}", which ipam.type names, can be found`,
    );
  }
  throw new CniError(
    Code.InvalidConfig,
    `failed to find plugin "${type}": the executable that ipam.type names ` +
      `is not in CNI_PATH [${directories.join(" ")}]`,
  );
}

function isRegularFile(file: string): boolean {
  try {
    return findStat(file)?.type === S_IFREG;
  } catch (error) {
    if (error instanceof SystemError) return false; // a directory that may not be searched is one without the plugin
    throw error;
  }
}

interface Execution {
  type: string;
  file: string;
  verb: Verb;
  deadlineMs: number;
}

/**
 * Runs the plugin with our environment and configuration; what it wrote to stdout. Its stderr is ours when it succeeds.
 */
function execute(call: Call, execution: Execution): string {
  const { type, verb } = execution;
  const ended = call.log.step(`${type} ${verb}`, () => start(call, execution));
  const { exitCode, signal, timedOut } = ended;
  const [stdout, stderr] = [decodeUtf8(ended.stdout), decodeUtf8(ended.stderr)];
  if (timedOut && exitCode === undefined) {
    throw new CniError(
      Code.TryAgainLater,
      `plugin "${type}" did not finish ${verb} within ${execution.deadlineMs / 1000} s and was killed`,
      stderr.trim(),
    );
  }
  if (exitCode !== 0) throw failure(type, stdout, stderr, signal ? `killed by ${signal}` : `exit status ${exitCode}`);
  if (stderr) complain(stderr);
  return stdout;
}

function start(call: Call, { type, file, verb, deadlineMs }: Execution): Outcome {
  const environment = environmentEntries({ CNI_COMMAND: verb });
  for (const giveUp = monotonicMs() + BUSY_MS; ; sleep(BUSY_PAUSE_US)) {
    try {
      return runProgram(file, { args: [], environment, input: call.stdin, deadlineMs });
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      if (error.code === "ETXTBSY" && monotonicMs() < giveUp) continue;
      if (error.code === "EFBIG") {
        throw new CniError(Code.Decode, `plugin "${type}" (${file}) wrote more than any result has`, error.message, {
          cause: error,
        });
      }
      throw new CniError(codeFor(error, Code.InvalidConfig), `cannot run plugin "${type}" (${file})`, error.message, {
        cause: error,
      });
    }
  }
}

const errorText = shape({ code: optional(integer()), msg: orElse(text(), ""), details: orElse(text(), "") });

/** The plugin's own error, code and all; where it printed none, 999 with what it left on stdout and stderr. */
function failure(type: string, stdout: string, stderr: string, how: string): CniError {
  const said = parseLeniently(errorText, tryJson(stdout)).value;
  if (said.code !== undefined) return new CniError(said.code, said.msg, said.details);
  const details = [stdout, stderr]
    .map((output) => output.trim())
    .filter(Boolean)
    .join("\n");
  return new CniError(Code.Internal, `plugin "${type}" failed without an error in JSON: ${how}`, details);
}

function parseAnswer(stdout: string, type: string): unknown {
  const json = tryJson(stdout);
  if (json === undefined) {
    throw new CniError(
      Code.Decode,
      `plugin "${type}" succeeded but what it printed is not JSON`,
      stdout.slice(0, 1000),
    );
  }
  return json ?? {};
}

import { findStat } from "../kernel/file.ts";
import { S_IFREG, SystemError } from "../kernel/libc.ts";
import { complain } from "../kernel/stderr.ts";
import { Code, CniError } from "./error.ts";
import type { Invocation, Verb } from "./invocation.ts";
import type { Result } from "./result.ts";
import { decodeDelegateResult } from "./result-shapes.ts";
import { integer, optional, orElse, parseLeniently, shape, text } from "./schema.ts";
import { parseVersion } from "./versions.ts";

/** No IPAM plugin takes this long; one that hangs must not hang the runtime for ever. */
const DEADLINE_MS = 5 * 60_000;
/** How long an executable may be "busy": somebody is writing it, as an installer does (ETXTBSY). */
const BUSY_MS = 6_000;
const BUSY_PAUSE_MS = 50;

type Call = Pick<Invocation, "verb" | "path" | "environment" | "stdin" | "cniVersion" | "log">;

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

/** The file of a plugin: the first directory of CNI_PATH with a regular file of that name. Throws code 7 naming `ipam.type`. */
export function getPluginFile({ path }: Pick<Invocation, "path">, type: string): string {
  if (type === "" || type === "." || type === ".." || type.includes("/")) {
    throw new CniError(Code.InvalidConfig, `invalid configuration: ipam.type is ${JSON.stringify(type)}, must be the name of a plugin's executable`);
  }
  const directories = path.split(":").filter(Boolean);
  const file = directories.map((directory) => `${directory}/${type}`).find(isRegularFile);
  if (file) return file;
  const where = directories.length > 0 ? `is not in CNI_PATH [${directories.join(" ")}]` : "cannot be looked for: CNI_PATH is not set";
  throw new CniError(Code.InvalidConfig, `failed to find plugin "${type}": the executable that ipam.type names ${where}`);
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

/** Runs the plugin with our environment and configuration; what it wrote to stdout. Its stderr is ours when it succeeds. */
function execute(call: Call, execution: Execution): Buffer {
  const { type, verb } = execution;
  const run = call.log.step(`${type} ${verb}`, () => spawn(call, execution));
  const stderr = run.stderr.toString();
  if (run.exitedDueToTimeout && run.exitCode === null) {
    throw new CniError(Code.TryAgainLater, `plugin "${type}" did not finish ${verb} within ${execution.deadlineMs / 1000} s and was killed`, stderr.trim());
  }
  if (run.exitCode !== 0) throw failure(type, run.stdout.toString(), stderr, run.signalCode ? `killed by ${run.signalCode}` : `exit status ${run.exitCode}`);
  if (stderr) complain(stderr);
  return run.stdout;
}

function spawn(call: Call, { type, file, verb, deadlineMs }: Execution) {
  for (const giveUp = performance.now() + BUSY_MS; ; Bun.sleepSync(BUSY_PAUSE_MS)) {
    try {
      return Bun.spawnSync({
        cmd: [file],
        env: { ...call.environment, CNI_COMMAND: verb },
        stdin: call.stdin,
        stdout: "pipe",
        stderr: "pipe",
        timeout: deadlineMs,
        killSignal: "SIGKILL",
      });
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === "ETXTBSY" && performance.now() < giveUp) continue;
      const busy = code === "ETXTBSY";
      throw new CniError(busy ? Code.TryAgainLater : Code.InvalidConfig, `cannot run plugin "${type}" (${file})`, (error as Error).message, { cause: error });
    }
  }
}

/** The plugin's own error, code and all; where it printed none, 999 with what it left on stdout and stderr. */
function failure(type: string, stdout: string, stderr: string, how: string): CniError {
  const said = parseLeniently(shape({ code: optional(integer()), msg: orElse(text(), ""), details: orElse(text(), "") }), tryJson(stdout)).value;
  if (said.code !== undefined) return new CniError(said.code, said.msg, said.details);
  const details = [stdout, stderr].map((output) => output.trim()).filter(Boolean).join("\n");
  return new CniError(Code.Internal, `plugin "${type}" failed without an error in JSON: ${how}`, details);
}

function parseAnswer(stdout: Buffer, type: string): unknown {
  const json = tryJson(stdout.toString());
  if (json === undefined) throw new CniError(Code.Decode, `plugin "${type}" succeeded but what it printed is not JSON`, stdout.toString().slice(0, 1000));
  return json ?? {};
}

function tryJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

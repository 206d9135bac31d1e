import { Code, CniError, codeFor } from "../cni/error.ts";
import { tryJson } from "../cni/json.ts";
import { parseLeniently } from "../cni/reading.ts";
import { integer, optional, orElse, shape, text } from "../cni/schema.ts";
import { monotonicMs } from "../kernel/clock.ts";
import { sleep, SystemError } from "../kernel/linux.ts";
import { environmentEntries } from "../kernel/process.ts";
import { type Outcome, runProgram } from "../kernel/program.ts";
import { complain } from "../kernel/stderr.ts";
import { decodeUtf8 } from "../net/bytes.ts";

/** No plugin takes this long; one that hangs must not hang its caller for ever. */
export const PLUGIN_DEADLINE_MS = 5 * 60_000;
/** How long an executable may be "busy": somebody is writing it, as an installer does (ETXTBSY). */
const BUSY_MS = 6_000;
const BUSY_PAUSE_US = 50_000;

/** A plugin to run: `type` is what it is called, in errors and by itself. */
export interface PluginProcess {
  type: string;
  file: string;
  /** its variables in place of ours; CNI_COMMAND among them */
  variables: Readonly<Record<string, string>> & { CNI_COMMAND: string };
  input: Uint8Array;
  deadlineMs: number;
}

/** Runs a plugin; what it wrote to stdout, or its error as a CniError. Its stderr is ours when it succeeds. */
export function runPlugin(plugin: PluginProcess): string {
  const { type, variables, deadlineMs } = plugin;
  const ended = start(plugin);
  const { exitCode, signal, timedOut } = ended;
  const [stdout, stderr] = [decodeUtf8(ended.stdout), decodeUtf8(ended.stderr)];
  if (timedOut && exitCode === undefined) {
    throw new CniError(
      Code.TryAgainLater,
      `plugin "${type}" did not finish ${variables.CNI_COMMAND} within ${deadlineMs / 1000} s and was killed`,
      stderr.trim(),
    );
  }
  if (exitCode !== 0) throw failure(type, stdout, stderr, signal ? `killed by ${signal}` : `exit status ${exitCode}`);
  if (stderr) complain(stderr);
  return stdout;
}

function start({ type, file, variables, input, deadlineMs }: PluginProcess): Outcome {
  const environment = environmentEntries(variables);
  const name = file.endsWith(`/${type}`) ? {} : { argv0: type };
  for (const giveUp = monotonicMs() + BUSY_MS; ; sleep(BUSY_PAUSE_US)) {
    try {
      return runProgram(file, { ...name, args: [], environment, input, deadlineMs });
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

/** What a plugin printed, as JSON; `null` counts as an empty result. */
export function parseAnswer(stdout: string, type: string): unknown {
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

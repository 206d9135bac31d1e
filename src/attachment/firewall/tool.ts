import { CniError, Code } from "../../cni/error.ts";
import { environmentEntries, environmentVariable } from "../../kernel/process.ts";
import { findProgram, runProgram } from "../../kernel/program.ts";
import { decodeUtf8, encodeUtf8 } from "../../net/bytes.ts";

// The firewall's tools, which podwire finds in PATH and runs where its configuration asks for what netlink cannot do.

/** They wait for each other's lock for as long as it takes; none is waited for longer than this. */
const DEADLINE_MS = 60_000;

/** Whether the tool succeeded, what it printed, and what it complained about, on one line. */
export interface ToolOutcome {
  ok: boolean;
  output: string;
  errors: string;
}

/** The file of a tool, as far as PATH has it. */
export const findTool = (name: string): string | undefined => findProgram(name, environmentVariable("PATH") ?? "");

/** As `findTool`; what is missing is an error, of that code, that says what needs it. */
export function getTool(name: string, neededBy: string, code: number = Code.Internal): string {
  const file = findTool(name);
  if (file !== undefined) return file;
  throw new CniError(
    code,
    `cannot find ${name} in PATH (${environmentVariable("PATH") ?? "not set"}); ${neededBy} needs it`,
  );
}

/** Runs a tool with podwire's own environment; CniError 11 where it does not come to an end. */
export function runTool(file: string, args: readonly string[], input: string): ToolOutcome {
  const { exitCode, signal, timedOut, stdout, stderr } = runProgram(file, {
    args,
    environment: environmentEntries(),
    input: encodeUtf8(input),
    deadlineMs: DEADLINE_MS,
  });
  if (timedOut && exitCode === undefined) {
    throw new CniError(Code.TryAgainLater, `${file} did not finish within ${DEADLINE_MS / 1000} s and was killed`);
  }
  const said = decodeUtf8(stderr).trim().replaceAll("\n", "; ");
  return {
    ok: exitCode === 0,
    output: decodeUtf8(stdout),
    errors: signal === undefined ? said : [said, `killed by ${signal}`].filter(Boolean).join("; "),
  };
}

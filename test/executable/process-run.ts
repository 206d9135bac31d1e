import { join } from "node:path";
import { type Outcome, runProgram } from "../harness/program.ts";
import { podwireFolder } from "./harness.ts";

interface Run {
  as?: string;
  args?: string[];
  env?: Record<string, string>;
  input?: string;
  cwd?: string;
}
/** The executable as a process with an environment of its own. */
export const run = async ({ as = "podwire", args = [], env = {}, input = "", cwd = "/" }: Run): Promise<Outcome> =>
  runProgram(join(podwireFolder(), as), args, { env, input, cwd });
export const json = ({ stdout }: { stdout: string }) => JSON.parse(stdout) as Record<string, unknown>;
export const status = { CNI_COMMAND: "STATUS" };
export const config = (more: object): string => JSON.stringify({ cniVersion: "1.1.0", name: "edge", ...more });

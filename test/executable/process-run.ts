import { join } from "node:path";
import { execa } from "execa";
import { podwireFolder } from "./harness.ts";

interface Run {
  as?: string;
  args?: string[];
  env?: Record<string, string>;
  input?: string;
  cwd?: string;
}
/** The executable as a process with an environment of its own. */
export const run = async ({ as = "podwire", args = [], env = {}, input = "", cwd = "/" }: Run) =>
  execa(join(podwireFolder(), as), args, {
    env,
    cwd,
    extendEnv: false,
    input,
    reject: false,
    stripFinalNewline: false,
  });
export const json = ({ stdout }: { stdout: string }) => JSON.parse(stdout) as Record<string, unknown>;
export const status = { CNI_COMMAND: "STATUS" };
export const config = (more: object): string => JSON.stringify({ cniVersion: "1.1.0", name: "edge", ...more });

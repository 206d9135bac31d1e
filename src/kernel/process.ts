import { readLink } from "./file.ts";
import { host } from "./host.ts";

// What the kernel gave this process, told by `main` before anything else: the only thing a module of podwire remembers.
// The executable's heap is made when it is built, and whatever else a module kept would be of the machine it was built
// on.
let given: { args: readonly string[]; entries: readonly string[]; variables: Environment } = {
  args: [],
  entries: [],
  variables: {},
};

export type Environment = Record<string, string | undefined>;

/** The variables podwire looks at, or the beginnings of their names; all others are for the programs it starts. */
const LOOKED_AT = ["CNI_", "PODWIRE_LOG=", "PATH="];

/**
 * Takes what the engine hands over: `args` begin with the name this process was started by, `environment` has
 * `NAME=value` entries. Of two with one name the first counts.
 */
export function startProcess(args: readonly string[], environment: readonly string[]): void {
  const variables: Environment = {};
  for (const entry of environment) {
    if (!LOOKED_AT.some((beginning) => entry.startsWith(beginning))) continue;
    const at = entry.indexOf("=");
    if (at > 0) variables[entry.slice(0, at)] ??= entry.slice(at + 1);
  }
  given = { args, entries: environment, variables };
}

/** The last part of the path this process was started by: the plugin it is to be. */
export function invokedAs(): string {
  const path = given.args[0] ?? "";
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The variables podwire looks at, by name. */
export const environment = (): Environment => given.variables;

/** The whole environment, `NAME=value`, as programs get it; with `changes` in place of variables of those names. */
export function environmentEntries(changes: Readonly<Record<string, string>> = {}): string[] {
  const replaced = Object.keys(changes).map((name) => `${name}=`);
  return [
    ...given.entries.filter((entry) => !replaced.some((beginning) => entry.startsWith(beginning))),
    ...Object.entries(changes).map(([name, value]) => `${name}=${value}`),
  ];
}

export const environmentVariable = (name: "CNI_COMMAND" | "PATH"): string | undefined => given.variables[name];

/** Any variable, for commands for people. */
export const findVariable = (name: string): string | undefined =>
  given.entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);

/** Where the file of this executable is. */
export const executablePath = (): string => readLink("/proc/self/exe");

export const processId = (): number => host.getpid();

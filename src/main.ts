import { version } from "../package.json";
import { suggestion } from "./cli/arguments.ts";
import { Exit, onTerminal } from "./cli/command.ts";
import { commands } from "./cli/commands.ts";
import { wrap } from "./cli/terminal.ts";
import { formatCommands } from "./cli/usage.ts";
import { dispatch } from "./protocol/dispatch.ts";
import { Code, OUT_OF_MEMORY } from "./cni/error.ts";
import { printJson } from "./cni/json.ts";
import { newest, versions } from "./cni/versions.ts";
import { monotonicMs } from "./kernel/clock.ts";
import { appendFile } from "./kernel/file.ts";
import { readAll, waitReadable } from "./kernel/linux.ts";
import { environment, environmentVariable, invokedAs, startProcess } from "./kernel/process.ts";
import { complain } from "./kernel/stderr.ts";
import { print } from "./kernel/stdout.ts";
import { findPlugin, pluginNames } from "./plugins/registry.ts";

const STDIN = 0;

/**
 * One process, from what the kernel gave it to its exit code; the engine calls this with the arguments, of which the
 * first is the name it was started by, and the environment's `NAME=value` entries.
 */
export function main(args: string[], variables: string[]): number {
  startProcess(args, variables);
  // a runtime gives no arguments; a person may have its variables exported
  return environmentVariable("CNI_COMMAND") && args.length < 2 ? answerRuntime() : answerPerson(args.slice(1));
}

/** The engine calls this when the executable is built. */
export { warmUp } from "./warm-up.ts";

/** What the engine prints where `main` throws, as it does where there is no memory left to catch an error with. */
export const lastWords: string = `${printJson({ cniVersion: newest, code: Code.TryAgainLater, msg: OUT_OF_MEMORY })}\n`;

/** Somebody who starts a plugin by hand may not know that it reads: after so long it says what it waits for. */
const PATIENCE_MS = 1_000;

/** Standard input to its end; with `firstByteMs`, nothing when nothing came by then. */
function readStdin(firstByteMs?: number): Uint8Array {
  if (waitReadable(STDIN, firstByteMs ?? PATIENCE_MS)) return readAll(STDIN);
  if (firstByteMs !== undefined) return new Uint8Array(0);
  complain("podwire: waiting for a configuration on standard input\n");
  return readAll(STDIN);
}

function answerRuntime(): number {
  const { stdout, exitCode } = dispatch({
    environment: environment(),
    readStdin,
    invokedAs: invokedAs(),
    findPlugin,
    pluginNames,
    append: (file, line) => (file === "stderr" ? complain(line) : appendFile(file, line, 0o640)),
    complain: (message) => complain(`podwire: ${message}\n`),
    now: monotonicMs,
  });
  return print(stdout) ? exitCode : 1;
}

function answerPerson([name, ...args]: string[]): number {
  // the reference's way to start its daemon, with options as Go has them
  if (invokedAs() === "dhcp" && name === "daemon") return answerPerson(["dhcp-daemon", ...args.map(toLongOption)]);
  if (isHelp(name) && args[0] !== undefined && !isHelp(args[0])) return answerPerson([...args, "--help"]);
  if (["--version", "-V", "-v", "version"].includes(name ?? "")) {
    const extra = args.find((arg) => !isHelp(arg));
    if (extra !== undefined) {
      complain(`podwire ${name}: unknown argument ${extra}\n`);
      return Exit.failed;
    }
    return print(`podwire ${version}\n`) ? Exit.fine : Exit.failed;
  }
  const command = commands.find((each) => each.name === name);
  if (command) return command.run(args);
  if (name !== undefined && !isHelp(name)) {
    const names = commands.map((each) => each.name);
    const hint = suggestion(name, [...names, "help", "version", "--help", "--version"]);
    const there = `; there are: ${names.join(", ")}`;
    complain(`${onTerminal(`podwire: unknown command ${JSON.stringify(name)}${hint || there}`)}\n`);
    return Exit.failed;
  }
  // A plugin run bare says so on standard error, as the reference does: its standard output belongs to runtimes.
  if (name === undefined && pluginNames.includes(invokedAs())) {
    complain(`CNI ${invokedAs()} plugin podwire ${version}\nCNI protocol versions supported: ${versions.join(", ")}\n`);
    return 0;
  }
  return print(about) ? Exit.fine : Exit.failed;
}

const isHelp = (word: string | undefined): boolean => ["--help", "-h", "help"].includes(word ?? "");

/** `-timeout=10s`, which Go takes for `--timeout=10s`. */
const toLongOption = (arg: string): string => (/^-[a-z]{2}/.test(arg) ? `-${arg}` : arg);

const introduction = [
  `podwire ${version}: wires pods. A container runtime runs it as the CNI plugins ${pluginNames.join(", ")}.`,
  `CNI protocol versions supported: ${versions.join(", ")}`,
  "A runtime sets CNI_COMMAND and writes a configuration to standard input; the name it is run by chooses the " +
    'plugin, or, run as podwire, the configuration\'s "type".',
];

const about = `${introduction.map((paragraph) => wrap(paragraph)).join("\n\n")}

Commands:
${formatCommands(commands)}
  podwire help COMMAND
  podwire --version
`;

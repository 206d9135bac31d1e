import { withFile } from "./kernel/file.ts";
import { version } from "../package.json" with { type: "json" };
import { dispatch } from "./cni/dispatch.ts";
import { versions } from "./cni/versions.ts";
import { exit, O, readAll, waitReadable, writeAll } from "./kernel/libc.ts";
import { complain } from "./kernel/stderr.ts";
import { print } from "./kernel/stdout.ts";
import { findPlugin, pluginNames } from "./plugins/registry.ts";

const STDIN = 0;

/** Commands for people, loaded when asked for; each takes its arguments and returns the exit code. */
const commands: Record<string, { summary: string; load: () => (args: string[]) => number }> = {
  install: { summary: "copy this executable to a plugin folder and link the plugins' names to it", load: () => (require("./cli/install.ts") as typeof import("./cli/install.ts")).install },
  leases: { summary: "list who has the addresses leased on this node, and whether those pods still exist", load: () => (require("./cli/leases.ts") as typeof import("./cli/leases.ts")).leases },
};

const name = process.argv0.slice(process.argv0.lastIndexOf("/") + 1);

function answerRuntime(): number {
  const { stdout, exitCode } = dispatch({
    environment: process.env,
    readStdin: (firstByteMs) => (firstByteMs === undefined || waitReadable(STDIN, firstByteMs) ? readAll(STDIN) : Buffer.alloc(0)),
    invokedAs: name,
    findPlugin,
    pluginNames,
    append: (file, line) => (file === "stderr" ? complain(line) : withFile(file, O.WRONLY | O.CREAT | O.APPEND, 0o640, (fd) => writeAll(fd, Buffer.from(line)))),
    complain: (message) => complain(`podwire: ${message}\n`),
  });
  return print(stdout) ? exitCode : 1;
}

function answerPerson([command, ...args]: string[]): number {
  if (command === "--version" || command === "-V") return print(`podwire ${version}\n`) ? 0 : 1;
  if (command !== undefined && Object.hasOwn(commands, command)) return commands[command]!.load()(args);
  if (command !== undefined && !["--help", "-h", "help"].includes(command)) {
    complain(`podwire: unknown command ${JSON.stringify(command)}; there are: ${Object.keys(commands).join(", ")}\n`);
    return 2;
  }
  // A plugin run bare says so on standard error, as the reference does: its standard output belongs to runtimes.
  if (command === undefined && pluginNames.includes(name)) {
    complain(`CNI ${name} plugin podwire ${version}\nCNI protocol versions supported: ${versions.join(", ")}\n`);
    return 0;
  }
  return print(about()) ? 0 : 1;
}

const about = (): string => `podwire ${version}: wires pods. A container runtime runs it as the CNI plugins ${pluginNames.join(", ")}.
CNI protocol versions supported: ${versions.join(", ")}

A runtime sets CNI_COMMAND and writes a configuration to standard input; the name it is run by chooses the plugin, or,
run as podwire, the configuration's "type".

Commands:
${Object.entries(commands).map(([command, { summary }]) => `  podwire ${command.padEnd(10)} ${summary}`).join("\n")}
  podwire --version
`;

// A runtime waits for the end of the process: it comes at once. A command for people may still have output on its way.
if (process.env.CNI_COMMAND) exit(answerRuntime());
process.exit(answerPerson(process.argv.slice(2)));

import { messageOf } from "../cni/error.ts";
import { complain } from "../kernel/stderr.ts";
import { isErrno } from "../kernel/system-error.ts";
import { print } from "../kernel/stdout.ts";
import { visible } from "../net/text.ts";
import { asksForHelp, type Given, type Options, parseArguments, UsageError } from "./arguments.ts";

/** A command for people: takes what was typed after its name and returns the exit code (2: wrong arguments). */
export interface Command {
  name: string;
  /** for the list of commands */
  summary: string;
  run(args: readonly string[]): number;
}

/** How a command is written: `say` does its work and returns what is printed on standard output. */
interface Definition<O extends Options> {
  name: string;
  summary: string;
  usage: string;
  options: O;
  say(given: Given<O>): string;
}

/** A command whose errors, as its usage, reach the person who typed it. */
export const command = <O extends Options>({ name, summary, usage, options, say }: Definition<O>): Command => ({
  name,
  summary,
  run(args) {
    try {
      return print(asksForHelp(args) ? usage : visible(say(parseArguments(args, options))), { mayEnd: true }) ? 0 : 1;
    } catch (error) {
      const isUsage = error instanceof UsageError;
      const hint = isErrno(error, "EACCES", "EPERM") ? "; run this as root" : "";
      complain(`podwire ${name}: ${messageOf(error)}${hint}\n${isUsage ? `\n${usage}` : ""}`);
      return isUsage ? 2 : 1;
    }
  },
});

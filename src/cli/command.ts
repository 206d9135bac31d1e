import { messageOf } from "../cni/error.ts";
import { printJson } from "../cni/json.ts";
import { findVariable } from "../kernel/process.ts";
import { complain } from "../kernel/stderr.ts";
import { isErrno } from "../kernel/system-error.ts";
import { print } from "../kernel/stdout.ts";
import { visible } from "../net/text.ts";
import {
  asksForHelp,
  findOperand,
  type Given,
  type Operands,
  type Options,
  parseArguments,
  suggestion,
  UsageError,
} from "./arguments.ts";
import { isTerminal } from "../kernel/linux.ts";
import { paint, wrap } from "./terminal.ts";
import { type Description, formatHint, formatUsage } from "./usage.ts";

/** Exit codes of every command. */
export const Exit = {
  fine: 0,
  /** it found what it was to find: a fault, a wrong key */
  found: 1,
  /** it could not look, or the arguments are wrong */
  failed: 2,
} as const;

/** What a command has to say: the same for a person and, asked by `--json`, for a program. */
export interface Said {
  /** lines, with a newline at the end; "" for nothing */
  text: string;
  /** what `--json` prints */
  facts: object;
  /** Exit.fine when absent */
  exit?: (typeof Exit)[keyof typeof Exit];
}

/** A command for people: takes what was typed after its name and returns the exit code. */
export interface Command extends Description {
  commands: readonly Command[];
  run(args: readonly string[]): number;
}

/** How a command is written; help, completion and the man page follow from it. */
interface Definition<O extends Options, P extends Operands> extends Partial<Pick<Description, "root" | "finds">> {
  name: string;
  summary: string;
  about: readonly string[];
  operands?: P;
  options?: O;
  commands?: readonly Command[];
  say(given: Given<(keyof O | keyof P) & string>): Said;
}

const help: Options = { "--help": { about: "" }, "-h": { about: "" } };
const json = { "--json": { about: "print the same as JSON" } } as const;

/** A command whose errors, as its usage, reach the person who typed it. */
export function command<const O extends Options, const P extends Operands>(definition: Definition<O, P>): Command {
  const { say, commands = [], operands = {}, options = {}, ...words } = definition;
  const described = { ...words, operands, options: { ...options, ...json }, commands };
  const answer = (args: readonly string[]): number => {
    if (asksForHelp(args)) return end(formatUsage(described), Exit.fine);
    const given = parseArguments(args, described);
    const { text, facts, exit = Exit.fine } = say(given);
    return end(
      given.has("--json") ? `${printJson(facts)}\n` : wantsColour() ? paint(visible(text)) : visible(text),
      exit,
    );
  };
  return {
    ...described,
    run(args) {
      try {
        const [other, rest] = findCommand(described, args);
        return other ? other.run(rest) : answer(args);
      } catch (error) {
        const hint = isErrno(error, "EACCES", "EPERM") ? "; run this as root" : "";
        const usage = error instanceof UsageError ? `\n${formatHint(described)}` : "";
        const message = `podwire ${words.name}: ${messageOf(error)}${hint}`;
        complain(`${onTerminal(message)}\n${usage}`);
        return Exit.failed;
      }
    },
  };
}

/** A complaint in lines for a person who looks at it; a log takes it whole. */
export const onTerminal = (message: string): string => (isTerminal(2) ? wrap(message, { indent: "  " }) : message);

/** True where a person looks at standard output on a terminal that shows colours, and did not say no to them. */
const wantsColour = (): boolean =>
  isTerminal(1) && !findVariable("NO_COLOR") && !["", "dumb"].includes(findVariable("TERM") ?? "");

const end = (text: string, exit: number): number => (print(text, { mayEnd: true }) ? exit : Exit.failed);

/** The command that the first operand names, and what else was typed; UsageError where it may be nothing else. */
function findCommand(
  { name: own, commands, operands, options }: Pick<Command, "name" | "commands" | "operands" | "options">,
  args: readonly string[],
): [Command | undefined, readonly string[]] {
  if (commands.length === 0) return [undefined, args];
  const every: Options = Object.assign({}, help, options, ...commands.map((each) => each.options));
  const at = findOperand(args, every);
  const [word] = at < 0 ? [] : [args[at]!];
  const found = commands.find(({ name }) => name === `${own} ${word}`);
  if (word !== undefined && !found && Object.keys(operands).length === 0) {
    const words = commands.map(({ name }) => name.slice(own.length + 1));
    throw new UsageError(`unknown argument ${word}${suggestion(word, words)}`);
  }
  return [found, args.toSpliced(at, 1)];
}

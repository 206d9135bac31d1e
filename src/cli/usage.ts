import type { Operand, Operands, Options, Taken } from "./arguments.ts";
import { wrap } from "./terminal.ts";

/** What there is to say about a command; nothing else knows how it is called. */
export interface Description extends Taken {
  /** as it is typed behind "podwire": "leases", "leases release" */
  name: string;
  /** what it does, in a few words, for lists of commands */
  summary: string;
  /** paragraphs: what it does and what its output means */
  about: readonly string[];
  /** what it needs root for, as the end of "Needs root to" */
  root?: string;
  /** whether it can find something, so that its exit code may be 1 */
  finds?: string;
  /** commands whose names begin with this one's */
  commands: readonly Description[];
}

/** An operand as help shows it: one of a few words is shown by those. */
const shownAs = (name: string, { among }: Operand): string => among?.join("|") ?? name;
const repeat = (text: string, repeated: boolean | undefined): string => (repeated ? `${text}...` : text);

/** What can be typed behind the name, piece by piece: `[--bin-dir DIR]`, `FILE...`. */
export const synopsis = ({ operands, options }: Taken): string[] => [
  ...Object.entries(operands).map(([name, operand]) => {
    const shown = repeat(shownAs(name, operand), operand.repeated);
    return operand.optional ? `[${shown}]` : shown;
  }),
  ...Object.entries(options).map(([name, { value, repeated }]) =>
    repeat(`[${value === undefined ? name : `${name} ${value}`}]`, repeated),
  ),
];

/** A command with those whose names begin with its. */
export const family = (command: Description): Description[] => [command, ...command.commands.flatMap(family)];

/** Pieces of a synopsis stay whole where a line ends. */
function usageLine(command: Description, first: string): string {
  const begin = `${first}podwire ${command.name}`;
  const glued = synopsis(command).map((piece) => piece.replaceAll(" ", "\0"));
  return wrap([begin.trimStart(), ...glued].join(" "), {
    first: begin.slice(0, begin.length - begin.trimStart().length),
    indent: " ".repeat(begin.length + 1),
  }).replaceAll("\0", " ");
}

/** Names of options and operands with what they mean, as name and text. */
export const explained = ({ operands, options }: { operands: Operands; options: Options }): [string, string][] => [
  ...Object.entries(operands).map(([name, operand]): [string, string] => [shownAs(name, operand), operand.about]),
  ...Object.entries(options).map(([name, { value, about }]): [string, string] => [
    value === undefined ? name : `${name} ${value}`,
    about,
  ]),
];

/** The widest name that still stands beside its text. */
const BESIDE = 24;

/** Two columns: names, and what they mean. */
function formatExplained(rows: readonly [string, string][]): string {
  const width = Math.max(...rows.map(([name]) => name.length).filter((length) => length <= BESIDE)) + 3;
  const indent = " ".repeat(width + 2);
  return rows
    .map(([name, text]) => {
      const first = `  ${name}`.padEnd(indent.length);
      return name.length <= BESIDE
        ? wrap(text, { first, indent })
        : `${first.trimEnd()}\n${wrap(text, { first: indent, indent })}`;
    })
    .join("\n");
}

/** What the exit codes of a command mean, as a sentence. */
export const exitCodes = ({ finds }: Description): string =>
  `Exit code: 0 fine, ${finds === undefined ? "" : `1 ${finds}, `}2 could not do it, or wrong arguments.`;

/** How it and those below it are called, a line each. */
function usageLines(command: Description): string[] {
  const [own, ...others] = family(command);
  return [usageLine(own!, "Usage: "), ...others.map((each) => usageLine(each, "       "))];
}

/** What stands below a complaint about arguments: the complaint must not be scrolled away. */
export const formatHint = (command: Description): string =>
  `${usageLines(command).join("\n")}\nMore: podwire help ${command.name}\n`;

/** What `--help` prints. */
export function formatUsage(command: Description): string {
  const others = family(command).slice(1);
  const lines = [
    ...usageLines(command),
    ...command.about.map((paragraph) => `\n${wrap(paragraph)}`),
    `\n${formatExplained(explained(command))}`,
    ...(others.length > 0 ? [`\n${formatCommands(others)}`] : []),
    `\n${command.root === undefined ? "" : `${wrap(`Needs root to ${command.root}.`)}\n`}${wrap(exitCodes(command))}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** Everything podwire can be asked, for `podwire --help`: names with what they do. */
export function formatCommands(commands: readonly Description[]): string {
  const rows = commands.flatMap(family).map(({ name, summary }): [string, string] => [`podwire ${name}`, summary]);
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows
    .map(([name, summary]) => wrap(summary, { first: `  ${name.padEnd(width)}`, indent: " ".repeat(width + 2) }))
    .join("\n");
}

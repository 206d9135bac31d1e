import { nearest } from "../net/nearest.ts";

/** A wrong command line; the message is for the person who typed it. */
export class UsageError extends Error {}

/** What is said of an argument: help, shell completion and the man page are made from it. */
interface Described {
  about: string;
  /** the words it can be, where it is one of a few */
  among?: readonly string[];
  /** it may be given several times, and all count */
  repeated?: boolean;
}

/** An option: `value` is what follows it, in capitals as help shows it; a switch has none. */
export interface Option extends Described {
  value?: string;
}

/** An argument without a name; at least one is needed unless it is optional. */
export interface Operand extends Described {
  optional?: boolean;
}

/** Options as they are typed ("--bin-dir"). */
export type Options = Readonly<Record<string, Option>>;
/** Operands by what help calls them ("ADDRESS"), in order; only the last one may be optional or repeated. */
export type Operands = Readonly<Record<string, Operand>>;

/** What a command takes. */
export interface Taken {
  operands: Operands;
  options: Options;
}

/** What was typed, by the names of options and operands. */
export class Given<Name extends string = string> {
  constructor(private readonly values: ReadonlyMap<string, readonly string[]>) {}

  has(name: Name): boolean {
    return this.values.has(name);
  }

  /** Of several the last. */
  find(name: Name): string | undefined {
    return this.values.get(name)?.at(-1);
  }

  /** As `find`, for an operand that is not optional. */
  get(name: Name): string {
    const value = this.find(name);
    if (value === undefined) throw new Error(`${name} is read, and may be absent`);
    return value;
  }

  all(name: Name): readonly string[] {
    return this.values.get(name) ?? [];
  }
}

/** True where the person wants to know what can be typed. */
export const asksForHelp = (args: readonly string[]): boolean => {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
};

/** A dash alone is standard input, as it is elsewhere. */
const isOption = (arg: string): boolean => arg.startsWith("-") && arg !== "-";

/** One step through what was typed: an option with its value ("" for a switch), or an operand. */
interface Token {
  /** the option's; undefined for an operand */
  name: string | undefined;
  value: string;
  /** where it begins */
  at: number;
}

/** What was typed, taken apart; options may stand anywhere before a "--". Throws UsageError. */
function* tokens(args: readonly string[], options: Options): Generator<Token> {
  let onlyOperands = false;
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    const begin = at;
    if (onlyOperands || !isOption(arg)) yield { name: undefined, value: arg, at };
    else if (arg === "--") onlyOperands = true;
    else {
      const equals = arg.indexOf("=");
      const [name, inline] = equals < 0 ? [arg, undefined] : [arg.slice(0, equals), arg.slice(equals + 1)];
      if (!Object.hasOwn(options, name)) {
        throw new UsageError(`unknown argument ${arg}${suggestion(name, Object.keys(options))}`);
      }
      const isSwitch = options[name]!.value === undefined;
      if (isSwitch && inline !== undefined) throw new UsageError(`${name} takes no value`);
      // what begins with a dash is the next option; as a value it can be written after "="
      const value = isSwitch ? "" : (inline ?? (isOption(args[at + 1] ?? "") ? undefined : args[++at]));
      if (value === undefined || (value === "" && !isSwitch)) throw new UsageError(`${name} needs a value`);
      yield { name, value, at: begin };
    }
  }
}

/** For what stands where one of a few words may: which of them was probably meant, as the end of a complaint. */
export function suggestion(word: string, words: readonly string[]): string {
  const meant = nearest(word, words);
  return meant === undefined ? "" : `; did you mean ${meant}?`;
}

/** Where the first operand stands, -1 for nowhere: for a command whose first operand may name another one. */
export function findOperand(args: readonly string[], options: Options): number {
  for (const { name, at } of tokens(args, options)) if (name === undefined) return at;
  return -1;
}

/** Reads `--name value`, `--name=value`, `--switch` and operands, in any order. Throws UsageError. */
export function parseArguments(args: readonly string[], { operands, options }: Taken): Given {
  const values = new Map<string, string[]>();
  const left = Object.entries(operands);
  for (const { name, value } of tokens(args, options)) {
    const [place] = left;
    if (name === undefined && !place) throw new UsageError(`unknown argument ${value}`);
    const [known, taken]: [string, Described] = name === undefined ? place! : [name, options[name]!];
    if (name === undefined && !taken.repeated) left.shift();
    assertAmong(known, value, taken.among);
    values.set(known, [...(values.get(known) ?? []), value]);
  }
  const [missing] = left.find(([name, { optional }]) => !optional && !values.has(name)) ?? [];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  return new Given(values);
}

function assertAmong(name: string, value: string, among: readonly string[] | undefined): void {
  if (among === undefined || among.includes(value)) return;
  throw new UsageError(
    `${name} is ${JSON.stringify(value)}, must be ${among.join(", ").replace(/, (?=[^,]*$)/, " or ")}` +
      suggestion(value, among),
  );
}

/** A wrong command line; the message is for the person who typed it. */
export class UsageError extends Error {}

/** The options of a command, as they are typed ("--bin-dir"), and whether a value follows. */
export type Options = Readonly<Record<string, "value" | "flag">>;

/** What was typed: options with their values, "" for a flag. */
export type Given<O extends Options> = ReadonlyMap<keyof O, string>;

/** True where the person wants to know what can be typed. */
export const asksForHelp = (args: readonly string[]): boolean => args.includes("--help") || args.includes("-h");

/**
 * Reads `--name value`, `--name=value` and `--flag`, in any order; of two with one name the last counts. Throws
 * UsageError.
 */
export function parseArguments<O extends Options>(args: readonly string[], options: O): Given<O> {
  const given = new Map<keyof O, string>();
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    const equals = arg.indexOf("=");
    const [name, inline] = equals < 0 ? [arg, undefined] : [arg.slice(0, equals), arg.slice(equals + 1)];
    if (!Object.hasOwn(options, name)) throw new UsageError(`unknown argument ${arg}`);
    if (options[name] === "flag") {
      if (inline !== undefined) throw new UsageError(`${name} takes no value`);
      given.set(name, "");
      continue;
    }
    // what begins with a dash is the next option; as a value it can be written after "="
    const value = inline ?? (args[at + 1]?.startsWith("-") ? undefined : args[++at]);
    if (value === undefined || value === "") throw new UsageError(`${name} needs a value`);
    given.set(name, value);
  }
  return given;
}

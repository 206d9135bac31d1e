import { Code, CniError } from "./error.ts";
import type { Invocation } from "./invocation.ts";

/** Keys some plugin of a delegation reads; the others see the same string and pass over them. */
const knownToOthers = ["IP", "GATEWAY", "MAC"];
const booleans: Record<string, boolean> = { 1: true, true: true, 0: false, false: false };

/** `CNI_ARGS` taken apart: values of the keys the caller knows, and everything that is wrong with the rest. */
function parse<K extends string>(
  args: string,
  known: readonly K[],
): { values: Partial<Record<K, string>>; problems: string[] } {
  const values: Partial<Record<string, string>> = {};
  const problems: string[] = [];
  const unknown: string[] = [];
  let ignoreUnknown = false;
  for (const pair of args === "" ? [] : args.split(";")) {
    const [key = "", value, ...more] = pair.split("=");
    if (value === undefined || more.length > 0) {
      problems.push(`ARGS: invalid pair ${JSON.stringify(pair)}, must be KEY=VALUE`);
    } else if (key === "IgnoreUnknown") {
      const said = booleans[value.toLowerCase()];
      if (said === undefined) {
        problems.push(`ARGS: error parsing value of pair ${JSON.stringify(pair)}, must be 1, true, 0 or false`);
      }
      ignoreUnknown = said ?? ignoreUnknown;
    } else if (known.includes(key as K)) values[key] = value;
    else if (!knownToOthers.includes(key)) unknown.push(JSON.stringify(pair));
  }
  if (unknown.length > 0 && !ignoreUnknown) problems.push(`ARGS: unknown args [${unknown.join(" ")}]`);
  return { values: values as Partial<Record<K, string>>, problems };
}

/**
 * The values of the plugin's own keys in CNI_ARGS, `KEY=VALUE` pairs with `;` between them; the case of keys counts.
 * Throws CniError 4 naming everything wrong, unknown keys too unless `IgnoreUnknown=1` stands anywhere; DEL and GC take
 * what can be read.
 */
export function readArguments<K extends string>(
  call: Pick<Invocation, "verb" | "args">,
  known: readonly K[],
): Partial<Record<K, string>> {
  const { values, problems } = parse(call.args, known);
  if (problems.length > 0 && call.verb !== "DEL" && call.verb !== "GC") {
    throw new CniError(Code.InvalidEnvironment, `invalid CNI_ARGS: ${problems.join("; ")}`);
  }
  return values;
}

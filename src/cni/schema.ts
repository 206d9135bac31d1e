import { describe, type Wrong } from "./complaint.ts";
import { Code, CniError } from "./error.ts";
import type { Invocation, JsonObject } from "./invocation.ts";

/**
 * How a plugin describes and reads its configuration:
 *
 *     const trunk = shape({ id: optional(integer(1, 4094)), minID: optional(integer(1, 4094)), maxID: optional(integer(1, 4094)) },
 *       ({ minID, maxID }) => ((minID === undefined) === (maxID === undefined) ? [] : [{ at: "minID", must: "must come together with maxID" }]));
 *     const bridgeConfig = shape({
 *       bridge: orElse(text("a link name", isLinkName), "cni0"),
 *       isGateway: flag(),                       // false when absent
 *       mtu: optional(integer(0, 65535)),        // no key when absent
 *       vlanTrunk: optional(list(trunk)),
 *       ipam: optional(shape({ type: orElse(text(), ""), routes: orElse(list(route), []) })),   // `route`, `ip`, `mac`, `dns`: fields.ts
 *     });
 *     type BridgeConfig = Infer<typeof bridgeConfig>;
 *     const config: BridgeConfig = readConfig(bridgeConfig, call);   // throws CniError 7; on DEL and GC drops what is wrong
 *
 * Keys match in any case at every depth, the later of two spellings wins, `null` is the same as absent and unknown keys
 * are ignored, as in Go. Top-level keys must be optional or have a default where DEL reads the schema.
 *
 * The tests hold it to zod's verdicts on random input.
 */
export interface Schema<T = unknown> {
  /** The typed value of what was written (undefined: nothing was); what is wrong is added to `wrong`, and the value then is of no use. */
  read(json: unknown, path: readonly PropertyKey[], wrong: Wrong[]): T;
  /** an empty string means the same as no key */
  readonly emptyIsAbsent?: boolean;
}
export type Infer<S> = S extends Schema<infer T> ? T : never;

type Fields = Record<string, Schema>;
type OptionalKeys<F extends Fields> = { [K in keyof F]: undefined extends Infer<F[K]> ? K : never }[keyof F];
type Shape<F extends Fields> = { [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & { [K in OptionalKeys<F>]?: Exclude<Infer<F[K]>, undefined> };
type Flat<T> = { [K in keyof T]: T[K] };

/** A wrong combination: the key to blame (relative to the shape) and what it must be, as the end of a sentence ("must ..."). */
export interface Complaint {
  at: string;
  must: string;
}

/** An object; `rules` look at it once its keys are valid by themselves. */
export function shape<F extends Fields>(fields: F, rules: (value: Flat<Shape<F>>) => Complaint[] = () => []): Schema<Flat<Shape<F>>> {
  const names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
  return {
    read(json, path, wrong) {
      const value: JsonObject = {};
      const before = wrong.length;
      if (!isObject(json)) wrong.push({ path, input: json, must: "must be an object" });
      else {
        const written = respell(json, fields, names);
        for (const name of Object.keys(fields)) {
          const field = fields[name]!.read(written[name], [...path, name], wrong);
          if (field !== undefined) value[name] = field;
        }
        if (wrong.length === before) for (const { at, must } of rules(value as Flat<Shape<F>>)) wrong.push({ path: [...path, at], input: written[at], must });
      }
      return value as Flat<Shape<F>>;
    },
  };
}

/** The keys a shape knows, spelled as it spells them, without null; the later of two spellings wins. */
function respell(json: JsonObject, fields: Fields, names: Map<string, string>): JsonObject {
  const spelled: JsonObject = {};
  for (const key of Object.keys(json)) {
    const name = names.get(key.toLowerCase());
    if (name === undefined || json[key] === null) continue;
    if (json[key] === "" && fields[name]!.emptyIsAbsent) delete spelled[name];
    else spelled[name] = json[key];
  }
  return spelled;
}

/** An array of one kind of element. */
export const list = <T>(element: Schema<T>): Schema<T[]> => ({
  read(json, path, wrong) {
    if (Array.isArray(json)) return json.map((item, at) => element.read(item, [...path, at], wrong));
    wrong.push({ path, input: json, must: "must be a list" });
    return [];
  },
});

/** An object whose keys are data (sysctl names, capabilities) and keep their case. */
export const map = <T>(value: Schema<T>): Schema<Record<string, T>> => ({
  read(json, path, wrong) {
    if (isObject(json)) {
      const entries = Object.entries(json).filter(([key, item]) => item !== null && key !== "__proto__");
      return Object.fromEntries(entries.map(([key, item]) => [key, value.read(item, [...path, key], wrong)]));
    }
    wrong.push({ path, input: json, must: "must be an object" });
    return {};
  },
});

/** No key in the value when absent. */
export const optional = <T>(schema: Schema<T>): Schema<T | undefined> => ({ read: (json, path, wrong) => (json === undefined ? undefined : schema.read(json, path, wrong)) });
/** As `optional`, for a key whose empty string means the same as no key. */
export const optionalOrEmpty = <T>(schema: Schema<T>): Schema<T | undefined> => ({ ...optional(schema), emptyIsAbsent: true });
/** `value` when absent. */
export const orElse = <T>(schema: Schema<T>, value: NoInfer<T>): Schema<T> => ({ read: (json, path, wrong) => (json === undefined ? value : schema.read(json, path, wrong)) });

/** What `decode` makes of the JSON value; undefined from it means that the value is not `what`. */
export const decoded = <T>(decode: (value: unknown) => T | undefined, what: string): Schema<T> => ({
  read(json, path, wrong) {
    const value = decode(json);
    if (value === undefined) wrong.push({ path, input: json, must: `must be ${what}` });
    return value as T;
  },
});

/** A boolean, false when absent. */
export const flag = (): Schema<boolean> => orElse(decoded((value) => (typeof value === "boolean" ? value : undefined), "true or false"), false);

/** Any text, or text that `accept` agrees to; `what` names it in the error message ("must be <what>"). */
export const text = (what = "text", accept: (text: string) => boolean = () => true): Schema<string> =>
  decoded((value) => (typeof value === "string" && accept(value) ? value : undefined), what);

/** One of a few words, exactly. */
export const choice = <const W extends string>(...words: W[]): Schema<W> =>
  decoded((value) => words.find((word) => word === value), words.map((word) => JSON.stringify(word)).join(" or "));

/** A whole number from `min` to `max`. */
export const integer = (min = 0, max = 0xffff_ffff): Schema<number> =>
  decoded(
    (value) => (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max ? (value as number) : undefined),
    `a whole number from ${min} to ${max}`,
  );

/** Anything at all, as JSON.parse gave it. */
export const anything = (): Schema => ({ read: (json) => json });

function attempt<T>(schema: Schema<T>, json: unknown): { value: T } | { wrong: [Wrong, ...Wrong[]] } {
  const wrong: Wrong[] = [];
  const value = schema.read(json, [], wrong);
  return wrong.length === 0 ? { value } : { wrong: wrong as [Wrong, ...Wrong[]] };
}

/** True for a JSON object, not for null or a list. */
export const isObject = (json: unknown): json is JsonObject => typeof json === "object" && json !== null && !Array.isArray(json);

/** What is parsed, for the error message: the code, "configuration" or the like, and the path of the value in it ("" for all of it). */
export interface Subject {
  code: number;
  what: string;
  root: string;
}

/** An error names this many wrong keys and counts the rest: a runtime keeps it whole in its log and its events. */
const NAMED = 30;

/** Wrong keys, the first ones each a sentence part of its own, so that several readers of one configuration can complain together. */
class WrongKeys extends CniError {
  constructor(
    code: number,
    readonly what: string,
    readonly named: string[],
    readonly unnamed: number,
  ) {
    super(code, `invalid ${what}: ${[...named, ...(unnamed > 0 ? [`and ${unnamed} more`] : [])].join("; ")}`);
  }
}

/** Reads a configuration twice over; when both readings find wrong keys, one error names them all. */
export function readTogether<A, B>(one: () => A, other: () => B): [A, B] {
  const outcomes = [one, other].map((read) => {
    try {
      return { value: read() };
    } catch (error) {
      return { error };
    }
  });
  const errors = outcomes.flatMap((outcome) => ("error" in outcome ? [outcome.error] : []));
  const [first, second] = errors;
  if (errors.length === 0) return outcomes.map((outcome) => (outcome as { value: unknown }).value) as [A, B];
  if (!(first instanceof WrongKeys && second instanceof WrongKeys)) throw first;
  throw new WrongKeys(first.code, first.what, [...new Set([...first.named, ...second.named])], first.unnamed + second.unnamed);
}

/** The typed value, or a CniError that names every wrong key. */
export function parseAs<T>(schema: Schema<T>, json: unknown, { code, what, root }: Subject): T {
  const outcome = attempt(schema, json);
  if ("value" in outcome) return outcome.value;
  // only those that are named are described: a value can be large, and so can their number
  throw new WrongKeys(code, what, outcome.wrong.slice(0, NAMED).map((one) => describe(one, root)), Math.max(0, outcome.wrong.length - NAMED));
}

/** The typed value, or a CniError 7 that names every wrong key; `root` is the path of `json` in the configuration, "" for all of it. */
export const parseConfig = <T>(schema: Schema<T>, json: unknown, root = ""): T =>
  parseAs(schema, json, { code: Code.InvalidConfig, what: "configuration", root });

// Every drop reads the configuration again, so that a hostile one must not take for ever: after this many a whole
// top-level key goes with each, and at once where one key has more wrong ones in it than anybody would write.
const SINGLE_DROPS = 30;
const CROWD = 1000;

/**
 * The typed value of what is valid, for verbs that must go on with a configuration that is not: a wrong key is dropped,
 * a list element with a wrong or missing key is dropped whole. `dropped` says what, for the log.
 */
export function parseLeniently<T>(schema: Schema<T>, json: unknown, root = ""): { value: T; dropped: string[] } {
  const dropped: string[] = [];
  for (let rest = json; ; ) {
    const outcome = attempt(schema, rest);
    if ("value" in outcome) return { value: outcome.value, dropped };
    const [wrong] = outcome.wrong;
    const isCrowd = outcome.wrong.length > CROWD && outcome.wrong[CROWD]!.path[0] === wrong.path[0];
    if (wrong.path.length === 0 || dropped.length > 2 * SINGLE_DROPS) rest = {};
    else rest = without(rest, dropped.length < SINGLE_DROPS && !isCrowd ? wrong.path : wrong.path.slice(0, 1));
    dropped.push(describe(wrong, root));
  }
}

/** The configuration as the plugin's schema types it: strict, but for DEL and GC, which must work with what there is. */
export function readConfig<T>(schema: Schema<T>, call: Pick<Invocation, "verb" | "config" | "log">): T {
  if (call.verb !== "DEL" && call.verb !== "GC") return parseConfig(schema, call.config);
  const { value, dropped } = parseLeniently(schema, call.config);
  for (const complaint of dropped) call.log.warn(`ignored in the configuration: ${complaint}`);
  return value;
}

/** A copy without the value at `path`; where nothing is there (a missing key was the error), without what should hold it. */
function without(json: unknown, path: readonly PropertyKey[]): unknown {
  const [key, ...deeper] = path;
  if (Array.isArray(json)) {
    const index = Number(key);
    const inner = deeper.length > 0 ? without(json[index], deeper) : undefined;
    return inner === undefined ? json.filter((_, at) => at !== index) : json.with(index, inner);
  }
  if (!isObject(json)) return undefined;
  const folded = String(key).toLowerCase();
  const found = Object.keys(json).findLast((name) => name.toLowerCase() === folded && json[name] !== null);
  if (found === undefined) return undefined;
  const inner = deeper.length > 0 ? without(json[found], deeper) : undefined;
  const copy = { ...json };
  delete copy[found];
  return inner === undefined ? copy : { ...copy, [found]: inner };
}

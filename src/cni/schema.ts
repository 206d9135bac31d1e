import { _default, array, boolean, exactOptional, object, record, safeParse, string, transform } from "zod/mini";
import type { output } from "zod/mini";
import type { $ZodType } from "zod/v4/core";
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
 */
export type Schema<T = unknown> = $ZodType<T>;
export type Infer<S extends Schema> = output<S>;
/** A wrong combination: the key to blame (relative to the shape) and what it must be, as the end of a sentence ("must ..."). */
export interface Complaint {
  at: string;
  must: string;
}

/** An object; `rules` look at it once its keys are valid by themselves. */
export function shape<F extends Record<string, Schema>>(fields: F, rules?: (value: output<ReturnType<typeof object<F>>>) => Complaint[]) {
  const plain = object(fields, "must be an object");
  if (!rules) return plain;
  return plain.check(({ value, issues }) => {
    for (const { at, must } of rules(value)) issues.push({ code: "custom", message: must, path: [at], input: (value as JsonObject)[at] });
  });
}

/** An array of one kind of element. */
export const list = <S extends Schema>(element: S) => array(element, "must be a list");
/** An object whose keys are data (sysctl names, capabilities) and keep their case. */
export const map = <S extends Schema>(value: S) => record(string(), value, "must be an object");
/** No key in the value when absent. */
export const optional = <S extends Schema>(schema: S) => exactOptional(schema);
/** `value` when absent. */
export const orElse = <S extends Schema>(schema: S, value: output<S>) => _default(schema, value as never);
/** A boolean, false when absent. */
export const flag = () => orElse(boolean("must be true or false"), false);
/** A boolean. */
export const yesOrNo = () => boolean("must be true or false");

/** Any text, or text that `accept` agrees to; `what` names it in the error message ("must be <what>"). */
export const text = (what = "text", accept: (text: string) => boolean = () => true) =>
  decoded((value) => (typeof value === "string" && accept(value) ? value : undefined), what);

/** One of a few words, exactly. */
export const choice = <const W extends string>(...words: W[]) =>
  decoded((value) => words.find((word) => word === value), words.map((word) => JSON.stringify(word)).join(" or "));

/** A whole number from `min` to `max`. */
export const integer = (min = 0, max = 0xffff_ffff) =>
  decoded(
    (value) => (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max ? (value as number) : undefined),
    `a whole number from ${min} to ${max}`,
  );

/** Anything at all, as JSON.parse gave it. */
export const anything = () => transform((value: unknown) => value);

/** What `decode` makes of the JSON value; undefined from it means that the value is not `what`. */
export const decoded = <T>(decode: (value: unknown) => T | undefined, what: string) =>
  transform((value: unknown, context): T => {
    const result = decode(value);
    if (result === undefined) context.issues.push({ code: "custom", message: `must be ${what}`, input: value });
    return result as T;
  });

const emptyIsAbsent = new WeakSet<Schema>();

/** As `optional`, for a key whose empty string means the same as no key. */
export function optionalOrEmpty<S extends Schema>(schema: S) {
  const field = optional(schema);
  emptyIsAbsent.add(field);
  return field;
}

interface Wrong {
  path: PropertyKey[];
  input: unknown;
  must: string;
}

function attempt<S extends Schema>(schema: S, json: unknown): { value: output<S> } | { wrong: [Wrong, ...Wrong[]] } {
  const written = respell(schema, json);
  const parsed = safeParse(schema, written);
  if (parsed.success) return { value: parsed.data };
  return { wrong: parsed.error.issues.map(({ path, message }) => ({ path, input: valueAt(written, path), must: message })) as [Wrong, ...Wrong[]] };
}

/** What was written there: a rule sees values that are decoded already. */
const valueAt = (json: unknown, path: PropertyKey[]): unknown => path.reduce((at, key) => (at as JsonObject | undefined)?.[String(key)], json);

/** The JSON value with the keys of `shape`s spelled as the schema spells them, and without null and unknown ones. */
function respell(schema: Schema, json: unknown): unknown {
  const definition = (schema as unknown as { _zod: { def: Definition } })._zod.def;
  if (definition.innerType) return respell(definition.innerType, json);
  if (definition.element) return Array.isArray(json) ? json.map((item) => respell(definition.element!, item)) : json;
  if (!isObject(json)) return json;
  if (definition.valueType) return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
  if (!definition.shape) return json;
  const names = new Map(Object.keys(definition.shape).map((name) => [name.toLowerCase(), name]));
  const spelled: JsonObject = {};
  for (const key of Object.keys(json)) {
    const name = names.get(key.toLowerCase());
    if (name === undefined || json[key] === null) continue;
    const field = definition.shape[name]!;
    if (json[key] === "" && emptyIsAbsent.has(field)) delete spelled[name];
    else spelled[name] = respell(field, json[key]);
  }
  return spelled;
}

/** What zod keeps about an optional or default, an array, a record and an object, in this order. */
interface Definition {
  innerType?: Schema;
  element?: Schema;
  valueType?: Schema;
  shape?: Record<string, Schema>;
}

/** True for a JSON object, not for null or a list. */
export const isObject = (json: unknown): json is JsonObject => typeof json === "object" && json !== null && !Array.isArray(json);

/** What is parsed, for the error message: the code, "configuration" or the like, and the path of the value in it ("" for all of it). */
export interface Subject {
  code: number;
  what: string;
  root: string;
}

/** The typed value, or a CniError that names every wrong key. */
export function parseAs<S extends Schema>(schema: S, json: unknown, { code, what, root }: Subject): output<S> {
  const outcome = attempt(schema, json);
  if ("value" in outcome) return outcome.value;
  throw new CniError(code, `invalid ${what}: ${outcome.wrong.map((wrong) => describe(wrong, root)).join("; ")}`);
}

/** The typed value, or a CniError 7 that names every wrong key; `root` is the path of `json` in the configuration, "" for all of it. */
export const parseConfig = <S extends Schema>(schema: S, json: unknown, root = ""): output<S> =>
  parseAs(schema, json, { code: Code.InvalidConfig, what: "configuration", root });

/** After this many wrong keys a whole top-level key goes with each, so that a hostile configuration does not take for ever. */
const SINGLE_DROPS = 30;

/**
 * The typed value of what is valid, for verbs that must go on with a configuration that is not: a wrong key is dropped,
 * a list element with a wrong or missing key is dropped whole. `dropped` says what, for the log.
 */
export function parseLeniently<S extends Schema>(schema: S, json: unknown, root = ""): { value: output<S>; dropped: string[] } {
  const dropped: string[] = [];
  for (let rest = isObject(json) ? json : {}; ; ) {
    const outcome = attempt(schema, rest);
    if ("value" in outcome) return { value: outcome.value, dropped };
    const [wrong] = outcome.wrong;
    if (wrong.path.length === 0 || dropped.length > 2 * SINGLE_DROPS) rest = {};
    else rest = without(rest, dropped.length < SINGLE_DROPS ? wrong.path : wrong.path.slice(0, 1)) as JsonObject;
    dropped.push(describe(wrong, root));
  }
}

/** The configuration as the plugin's schema types it: strict, but for DEL and GC, which must work with what there is. */
export function readConfig<S extends Schema>(schema: S, call: Pick<Invocation, "verb" | "config" | "log">): output<S> {
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

const SHOWN = 60;

function describe({ path, input, must }: Wrong, root: string): string {
  const where = formatPath(path, root) || "it";
  return input === undefined ? `${where} is missing, ${must}` : `${where} is ${show(input)}, ${must}`;
}

/** `ipam.ranges[0][1].subnet`; a key that is no plain word comes in quotes: `sysctl["net.core.somaxconn"]`. */
export function formatPath(path: readonly PropertyKey[], root = ""): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    const name = String(key);
    if (!/^[\w-]+$/.test(name)) return `${text}[${JSON.stringify(name)}]`;
    return text ? `${text}.${name}` : name;
  }, root);
}

/** The value as JSON, cut where it gets long. */
export function show(value: unknown): string {
  const json = stringify(value);
  return json.length > SHOWN ? `${json.slice(0, SHOWN)}...` : json;
}

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch (error) {
    // JSON.parse reads what JSON.stringify has no stack for
    if (error instanceof RangeError) return `${Array.isArray(value) ? "a list" : "an object"} nested too deeply to show`;
    throw error;
  }
}

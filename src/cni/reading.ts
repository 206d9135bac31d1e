import * as z from "zod/mini";
import { describe, type Wrong } from "./complaint.ts";
import { CniError, Code } from "./error.ts";
import type { Invocation } from "./invocation.ts";
import { isObject, type Schema } from "./schema.ts";

// A configuration as its schema types it: strictly, with every wrong key in one error, or leniently, with what is
// valid.

function attempt<T>(schema: Schema<T>, json: unknown): { value: T } | { wrong: Wrong[] } {
  const outcome = z.safeParse(schema, json, { reportInput: true });
  if (outcome.success) return { value: outcome.data };
  return {
    wrong: outcome.error.issues.map(({ path, input, message }) => ({
      path,
      // a rule about several keys blames one of them, and knows what was read, not what was written
      input: input ?? written(json, path),
      must: message,
    })),
  };
}

/** The key of an object that is read for a name: the last one of any case that is not null. */
const findKey = (json: Record<string, unknown>, name: PropertyKey): string | undefined => {
  const folded = String(name).toLowerCase();
  return Object.keys(json).findLast((key) => key.toLowerCase() === folded && json[key] !== null);
};

/** What is written at a path; undefined where nothing is. */
const written = (json: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((held, key) => {
    if (Array.isArray(held)) return held[Number(key)];
    const found = isObject(held) ? findKey(held, key) : undefined;
    return found === undefined ? undefined : (held as Record<string, unknown>)[found];
  }, json);

/** What is parsed, for the error message: the code, "configuration" or the like, and the path of the value in it. */
export interface Subject {
  code: number;
  what: string;
  root: string;
}

/** An error names this many wrong keys and counts the rest: a runtime keeps it whole in its log and its events. */
const NAMED = 30;

/** Only those that are named are described: a value can be large, and so can their number. */
const describeAll = (wrong: readonly Wrong[], root: string): string[] =>
  wrong.slice(0, NAMED).map((one) => describe(one, root));

/** Wrong keys, each by itself, so that several readers of one configuration can complain together. */
export class WrongKeys extends CniError {
  constructor(
    code: number,
    readonly what: string,
    readonly root: string,
    readonly wrong: readonly Wrong[],
  ) {
    const named = [...new Set(describeAll(wrong, root))];
    const unnamed = Math.max(0, wrong.length - NAMED);
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
  throw new WrongKeys(first.code, first.what, first.root, [...first.wrong, ...second.wrong]);
}

/** The typed value, or a CniError that names every wrong key. */
export function parseAs<T>(schema: Schema<T>, json: unknown, { code, what, root }: Subject): T {
  const outcome = attempt(schema, json);
  if ("value" in outcome) return outcome.value;
  const { wrong } = outcome;
  throw new WrongKeys(code, what, root, wrong);
}

/** The typed value, or a CniError 7 that names every wrong key; `root` is the path of `json` in the configuration. */
export const parseConfig = <T>(schema: Schema<T>, json: unknown, root = ""): T =>
  parseAs(schema, json, { code: Code.InvalidConfig, what: "configuration", root });

/** Keys that may not count, by their paths, and those that do not: another is heard first, or nothing asks for them. */
export interface Idle<T> {
  may: readonly string[];
  are(config: T): readonly string[];
}

/**
 * The configuration as the plugin's schema types it: strict, but for DEL and GC, which must work with what there is,
 * and for keys that do not count.
 */
export function readConfig<T>(
  schema: Schema<T>,
  call: Pick<Invocation, "verb" | "config" | "log">,
  idle?: Idle<NoInfer<T>>,
): T {
  if (call.verb !== "DEL" && call.verb !== "GC") return readStrictly(schema, call, idle);
  const { value, dropped } = parseLeniently(schema, call.config);
  for (const complaint of dropped) call.log.warn(`ignored in the configuration: ${complaint}`);
  return value;
}

/** Whether a path is that of a key, or leads into it. */
const isWithin = (path: readonly PropertyKey[], key: readonly string[]): boolean =>
  key.every((name, at) => path[at] === name);

function readStrictly<T>(
  schema: Schema<T>,
  { config, log }: Pick<Invocation, "config" | "log">,
  idle?: Idle<NoInfer<T>>,
): T {
  const outcome = attempt(schema, config);
  if ("value" in outcome) return outcome.value;
  const isWrong = (key: readonly string[]): boolean => outcome.wrong.some(({ path }) => isWithin(path, key));
  const left = (idle?.may ?? []).map((path) => path.split(".")).filter(isWrong);
  const rest = left.length === 0 ? undefined : without(config, dropsOf(left));
  if (rest === undefined) return parseConfig(schema, config);
  const again = attempt(schema, rest);
  const idling = idle!.are("value" in again ? again.value : parseLeniently(schema, rest).value);
  if (!left.every((key) => idling.includes(key.join(".")))) return parseConfig(schema, config);
  if (!("value" in again)) return parseConfig(schema, rest);
  for (const complaint of describeAll(outcome.wrong, "")) log.warn(`does not count, and is wrong: ${complaint}`);
  return again.value;
}

/**
 * One reading finds all that is wrong by itself, the next what is missing then, another one what rules say of the rest.
 */
const ROUNDS = 6;

/**
 * The typed value of what is valid, for verbs that must go on with a configuration that is not: a wrong key is dropped,
 * a list element with a wrong or missing key is dropped whole. `dropped` says what, for the log.
 */
export function parseLeniently<T>(schema: Schema<T>, json: unknown, root = ""): { value: T; dropped: string[] } {
  const dropped: string[] = [];
  let rest = json;
  for (let round = 1; round <= ROUNDS; round++) {
    const outcome = attempt(schema, rest);
    if ("value" in outcome) return { value: outcome.value, dropped };
    const { wrong } = outcome;
    dropped.push(...describeAll(wrong, root));
    if (wrong.length > NAMED) dropped.push(`and ${wrong.length - NAMED} more`);
    rest = round === ROUNDS - 1 ? {} : (without(rest, dropsOf(wrong.map(({ path }) => path))) ?? {});
  }
  throw new CniError(Code.Internal, "a configuration without any key cannot be read");
}

/** Paths as a tree. */
type Drops = Map<string, Drops | "all">;

function dropsOf(paths: readonly (readonly PropertyKey[])[]): Drops | "all" {
  const root: Drops = new Map();
  for (const path of paths) {
    if (path.length === 0) return "all";
    addDrop(root, path.map(String));
  }
  return root;
}

function addDrop(drops: Drops, [name, ...deeper]: string[]): void {
  const known = drops.get(name!);
  if (known === "all") return;
  if (deeper.length === 0) return void drops.set(name!, "all");
  const inner: Drops = known ?? new Map();
  drops.set(name!, inner);
  addDrop(inner, deeper);
}

/**
 * A copy without what is dropped; undefined for all of it, and where something that is not there (a missing key) is.
 */
function without(json: unknown, drops: Drops | "all"): unknown {
  if (drops === "all") return undefined;
  if (Array.isArray(json)) {
    return json.flatMap((item, at) => {
      const inner = drops.get(String(at));
      const kept = inner ? without(item, inner) : item;
      return kept === undefined ? [] : [kept];
    });
  }
  if (!isObject(json)) return undefined;
  const copy = { ...json };
  for (const [name, inner] of drops) {
    const found = findKey(json, name);
    if (found === undefined) return undefined;
    const kept = without(json[found], inner);
    if (kept === undefined) delete copy[found];
    else copy[found] = kept;
  }
  return copy;
}

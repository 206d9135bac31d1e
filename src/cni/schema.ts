import * as z from "zod/mini";
import type { JsonObject } from "./invocation.ts";

// No code is made from text in a program that runs as root.
z.config({ jitless: true });

/**
 * How a plugin describes its configuration, in zod, with Go's rules for JSON and podwire's words for what is wrong:
 *
 *     const trunk = shape({ minID: optional(integer(1, 4094)), maxID: optional(integer(1, 4094)) },
 *       ({ minID, maxID }) => (minID === undefined && maxID !== undefined ? [{ at: "minID", must: "must ..." }] : []));
 *     const bridgeConfig = shape({
 *       bridge: orElse(text("a link name", isLinkName), "cni0"),
 *       isGateway: flag(),                       // false when absent
 *       mtu: optional(integer(0, 65535)),        // no key when absent
 *       vlanTrunk: optional(list(trunk)),
 *       ipam: optional(shape({ type: orElse(text(), ""), routes: orElse(list(route), []) })),   // `route`: fields.ts
 *     });
 *     type BridgeConfig = Infer<typeof bridgeConfig>;
 *     const config: BridgeConfig = readConfig(bridgeConfig, call);   // reading.ts
 *
 * Keys match in any case at every depth, the later of two spellings wins, `null` is the same as absent and unknown keys
 * are ignored, as in Go. Top-level keys must be optional or have a default where DEL reads the schema.
 */
export type Schema<T = unknown> = z.ZodMiniType<T> & {
  /** an empty string means the same as no key */
  readonly emptyIsAbsent?: boolean;
  /** what it reads of an object or a list; absent where it reads neither */
  readonly reads?: Reads;
};
/** The keys it knows and what it makes of their values, what it makes of every element, or anything there is. */
export type Reads =
  { names: ReadonlyMap<string, string>; fields: Readonly<Record<string, Schema>> } | { every: Schema } | "anything";
export type Infer<S> = S extends Schema<infer T> ? T : never;

type Fields = Record<string, Schema>;
type OptionalKeys<F extends Fields> = { [K in keyof F]: undefined extends Infer<F[K]> ? K : never }[keyof F];
type Shape<F extends Fields> = { [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & {
  [K in OptionalKeys<F>]?: Exclude<Infer<F[K]>, undefined>;
};
type Flat<T> = { [K in keyof T]: T[K] };

/** A wrong combination: the key to blame (relative to the shape) and what it must be, as the end of a sentence. */
export interface Complaint {
  at: string;
  must: string;
}

/** True for a JSON object, not for null or a list. */
export const isObject = (json: unknown): json is JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json);

/**
 * An object. `rules` look at it with the `wrong` keys as if they were absent, so that one error names all that is
 * wrong; what they say of a wrong key itself does not count, and they are not asked where a wrong key is a required
 * one.
 */
export function shape<F extends Fields>(
  fields: F,
  rules: (value: Flat<Shape<F>>, wrong: ReadonlySet<string>) => Complaint[] = () => [],
): Schema<Flat<Shape<F>>> {
  const names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
  // What an absent key means is found out once, when the executable is built: a call looks at schemas of keys it has.
  const absent = Object.keys(fields).map((name) => [name, read(fields[name]!, undefined)] as const);
  const schema = z.transform((json, payload) => {
    const issues: Pick<Issues, "push" | "length"> = payload.issues;
    const value: JsonObject = {};
    if (!isObject(json)) issues.push({ code: "custom", message: "must be an object", input: json });
    else {
      const written = respell(json, fields, names);
      const wrong = new Set<string>();
      let isWhole = true;
      for (const [name, without] of absent) {
        let outcome = Object.hasOwn(written, name) ? read(fields[name]!, written[name]) : without;
        if (!outcome.success) {
          blame(issues, outcome.error.issues, name);
          wrong.add(name);
          outcome = without;
        }
        if (!outcome.success) isWhole = false;
        else if (outcome.data !== undefined) value[name] = outcome.data;
      }
      for (const { at, must } of isWhole ? rules(value as Flat<Shape<F>>, wrong) : []) {
        if (!wrong.has(at)) issues.push({ code: "custom", path: [at], message: must, input: undefined });
      }
    }
    return value as Flat<Shape<F>>;
  });
  return Object.assign(schema, { reads: { names, fields } });
}

const read = <T>(schema: Schema<T>, json: unknown) => z.safeParse(schema, json, { reportInput: true });

type Issues = { code: "custom"; path?: PropertyKey[]; message: string; input: unknown }[];

/** What is wrong inside a key or an element, as seen from what holds it. */
const blame = (
  issues: Pick<Issues, "push">,
  found: readonly { path: PropertyKey[]; message: string; input?: unknown }[],
  at: PropertyKey,
): void =>
  found.forEach(({ path, message, input }) => issues.push({ code: "custom", path: [at, ...path], message, input }));

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

/** A list is given up after this many wrong keys in it: nobody wrote that, and reading all of it takes long. */
const CROWD = 1000;

/** An array of one kind of element. */
export const list = <T>(element: Schema<T>): Schema<T[]> => {
  const schema = z.transform((json, payload) => {
    const issues: Pick<Issues, "push" | "length"> = payload.issues;
    const values: T[] = [];
    if (!Array.isArray(json)) issues.push({ code: "custom", message: "must be a list", input: json });
    else {
      for (const [at, item] of json.entries()) {
        const outcome = read(element, item);
        if (outcome.success) values.push(outcome.data);
        else blame(issues, outcome.error.issues, at);
        if (issues.length > CROWD) {
          const message = `must be a list with fewer wrong elements: reading ends at the ${at}th`;
          issues.push({ code: "custom", message, input: json });
          break;
        }
      }
    }
    return values;
  });
  return Object.assign(schema, { reads: { every: element } });
};

/** An object whose keys are data (sysctl names, capabilities) and keep their case. */
export const map = <T>(value: Schema<T>): Schema<Record<string, T>> => {
  const schema = z.transform((json, payload) => {
    const issues: Pick<Issues, "push" | "length"> = payload.issues;
    const values: Record<string, T> = {};
    if (!isObject(json)) issues.push({ code: "custom", message: "must be an object", input: json });
    else {
      for (const [key, item] of Object.entries(json)) {
        if (item === null || key === "__proto__") continue;
        const outcome = read(value, item);
        if (outcome.success) values[key] = outcome.data;
        else blame(issues, outcome.error.issues, key);
      }
    }
    return values;
  });
  return Object.assign(schema, { reads: { every: value } });
};

/** As a schema that wraps another: it reads what that one does. */
const as = <T>(schema: Schema<T>, { reads }: Schema): Schema<T> => (reads ? Object.assign(schema, { reads }) : schema);

/** No key in the value when absent. */
export const optional = <T>(schema: Schema<T>): Schema<T | undefined> => as(z.optional(schema), schema);
/** As `optional`, for a key whose empty string means the same as no key. */
export const optionalOrEmpty = <T>(schema: Schema<T>): Schema<T | undefined> =>
  Object.assign(optional(schema), { emptyIsAbsent: true });
/** `value` when absent. */
export const orElse = <T>(schema: Schema<T>, value: NoInfer<T>): Schema<T> =>
  as(z._default(schema as z.ZodMiniType<unknown>, value as never) as unknown as Schema<T>, schema);

/**
 * What `decode` makes of the JSON value; undefined from it means that the value is not `what`, which may depend on it.
 */
export const decoded = <T>(
  decode: (value: unknown) => T | undefined,
  what: string | ((value: unknown) => string),
): Schema<T> =>
  z.transform((json, { issues }): T => {
    const value = decode(json);
    if (value !== undefined) return value;
    issues.push({ code: "custom", message: `must be ${typeof what === "string" ? what : what(json)}`, input: json });
    return z.NEVER;
  });

/** true or false. */
export const boolean: Schema<boolean> = z.boolean({ error: "must be true or false" });
const switched = orElse(boolean, false);
/** A boolean, false when absent. */
export const flag = (): Schema<boolean> => switched;

/** Any text, or text that `accept` agrees to; `what` names it in the error message ("must be <what>"). */
export function text(what?: string, accept: (text: string) => boolean = () => true): Schema<string> {
  if (what === undefined) return anyText;
  const error = `must be ${what}`;
  return z.string({ error }).check(z.refine(accept, { error }));
}
const anyText: Schema<string> = z.string({ error: "must be text" });

/** One of a few words, exactly. */
export const choice = <const W extends string>(...words: W[]): Schema<W> =>
  z.enum(words as [W, ...W[]], {
    error: `must be ${words.map((word) => JSON.stringify(word)).join(" or ")}`,
  }) as unknown as Schema<W>;

/** A whole number from `min` to `max`. */
export function integer(min = 0, max = 0xffff_ffff): Schema<number> {
  const error = `must be a whole number from ${min} to ${max}`;
  return z
    .number({ error })
    .check(z.refine((value) => Number.isSafeInteger(value) && value >= min && value <= max, { error }));
}

/** Anything at all, as JSON.parse gave it. */
export const anything = (): Schema => Object.assign(z.unknown(), { reads: "anything" as const });

import { nearMiss } from "../net/nearest.ts";
import type { Known } from "./invocation.ts";
import type { Schema } from "./schema.ts";

/** Of a value that is neither object nor list. */
const nothing: Known = { names: new Map(), every: undefined };

/** What several readers of one value know together. */
export function knownBy(schemas: readonly Schema[]): Known {
  const reads = schemas.flatMap((schema) => schema.reads ?? []);
  const readers = new Map<string, Schema[]>();
  const every: Schema[] = [];
  for (const one of reads) {
    if (one === "anything") return "anything";
    if ("every" in one) every.push(one.every);
    else for (const name of one.names.values()) readers.set(name, [...(readers.get(name) ?? []), one.fields[name]!]);
  }
  if (readers.size === 0 && every.length === 0) return nothing;
  const spelled = [...readers].map(([name, inner]) => [name, knownBy(inner)] as const);
  return {
    names: new Map([...spelled.map(([name, inner]) => [name.toLowerCase(), inner] as const), ...spelled]),
    every: every.length > 0 ? knownBy(every) : undefined,
  };
}

/** A key that nothing reads, and the one that was probably meant. */
export interface UnknownKey {
  path: readonly (string | number)[];
  meant: string | undefined;
}

/** How people mark what is for people, or for others: `_comment`, `//`, `example.com/note`. */
export const isRemark = (key: string): boolean => /^[_#$]|[/:]|^comment$|^description$/i.test(key);

/** So many are told: nobody writes more, and comparing words takes time. */
const MOST = 100;
/** No known key is nearly as long. */
const LONGEST = 64;

/** The keys of a configuration that nothing reads. Every ADD asks, so what is known costs one look at a map. */
export function findUnknownKeys(known: Known, config: object): UnknownKey[] {
  const found: UnknownKey[] = [];
  visit(known, config, []);
  return found;

  function visit(at: Known, value: unknown, path: UnknownKey["path"]): void {
    if (at === "anything" || typeof value !== "object" || value === null) return;
    const { names, every, first } = at;
    if (Array.isArray(value)) {
      if (every) for (let n = 0; n < value.length; n++) visit(every, value[n], [...path, n]);
      return;
    }
    if (names.size === 0 && !every) return; // no object is wanted here, and others say so
    for (const key of Object.keys(value)) {
      const inner = first?.get(key) ?? names.get(key) ?? names.get(key.toLowerCase()) ?? every;
      const below = (value as Record<string, unknown>)[key];
      if (!inner) note([...path, key], names);
      else if (typeof below === "object") visit(inner, below, [...path, key]);
    }
  }

  function note(path: UnknownKey["path"], names: ReadonlyMap<string, Known>): void {
    const key = String(path.at(-1));
    if (found.length === MOST || isRemark(key)) return;
    // the last spelling of a name is its own
    const spelled = [...new Map([...names.keys()].map((name) => [name.toLowerCase(), name])).values()];
    found.push({ path, meant: key.length > LONGEST ? undefined : nearMiss(key, spelled) });
  }
}

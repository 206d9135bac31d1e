import { isStackOverflow } from "./json.ts";

/**
 * A value that is not what it must be: where it stands, what was written there (undefined: nothing), and what it must
 * be ("must ...").
 */
export interface Wrong {
  path: readonly PropertyKey[];
  input: unknown;
  must: string;
}

const SHOWN = 60;

/** One sentence part about a wrong value: `mtu is "x", must be a whole number from 0 to 65535`. */
export function describe({ path, input, must }: Wrong, root: string): string {
  const where = formatPath(path, root) || "it";
  return input === undefined ? `${where} is missing, ${must}` : `${where} is ${show(input)}, ${must}`;
}

/** `ipam.ranges[0][1].subnet`; a key that is no plain word comes in quotes: `sysctl["net.core.somaxconn"]`. */
export function formatPath(path: readonly PropertyKey[], root = ""): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    const name = String(key);
    if (/^[\w-]+$/.test(name)) return text ? `${text}.${name}` : name;
    return text ? `${text}[${JSON.stringify(name)}]` : JSON.stringify(name);
  }, root);
}

/** The value as JSON, cut where it gets long. */
export function show(value: unknown): string {
  const json = stringify(value);
  return json.length > SHOWN ? `${json.slice(0, SHOWN)}...` : json;
}

function stringify(value: unknown): string {
  try {
    // a number by itself: 1e400 is Infinity, no null
    return typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  } catch (error) {
    // JSON.parse reads what JSON.stringify has no stack for
    if (isStackOverflow(error)) return `${Array.isArray(value) ? "a list" : "an object"} nested too deeply to show`;
    throw error;
  }
}

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

// The files of src and what each imports, for the tests that hold the architecture.

export const source = join(import.meta.dirname, "../../src");
export const files = readdirSync(source, { recursive: true })
  .map(String)
  .filter((path) => path.endsWith(".ts"));
export const text = (path: string): string => readFileSync(join(source, path), "utf8");

/** Code without comments and strings, near enough to look for words in. */
export const withoutComments = (code: string): string =>
  code
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$|\s\/\/ .*$/gm, "");

/** The folder a file belongs to; a file of no folder is one of its own. */
export const layer = (path: string): string =>
  path.includes("/") ? path.slice(0, path.indexOf("/")) : path.replace(/\.ts$/, "");

export interface Import {
  from: string;
  /** below src, or what it is called elsewhere */
  to: string;
  /** only of types, which is nothing once the program runs */
  ofTypes: boolean;
}

export const imports: Import[] = files.flatMap((from) =>
  [...text(from).matchAll(/^(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm)].map(([, type, to]) => ({
    from,
    to: to!.startsWith(".") ? relative(source, join(source, dirname(from), to!)) : to!,
    ofTypes: type !== undefined,
  })),
);

export const show = (list: Import[]): string[] => list.map(({ from, to }) => `${from} imports ${to}`);

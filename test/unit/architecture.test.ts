import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

const source = join(import.meta.dirname, "../../src");
const files = readdirSync(source, { recursive: true }).map(String).filter((path) => path.endsWith(".ts") && statSync(join(source, path)).isFile());
const text = (path: string): string => readFileSync(join(source, path), "utf8");

/** What a folder of src may import from, apart from itself. */
const allowed: Record<string, string[]> = {
  main: ["cni", "cli", "plugins", "attachment", "ipam", "kernel", "net"],
  cli: ["cni", "plugins", "attachment", "ipam", "kernel", "net"],
  cni: ["plugins", "attachment", "ipam", "kernel", "net"],
  plugins: ["attachment", "ipam", "kernel", "net"],
  attachment: ["kernel", "net"],
  ipam: ["kernel", "net"],
  kernel: ["net"],
  net: [],
};
/** The files of `cni` that hold what every layer above the kernel speaks of: what a runtime says and how it is read. */
const vocabulary = new Set(["error", "result", "invocation", "schema", "complaint", "log", "fields", "arguments", "versions", "delegate"].map((name) => `cni/${name}.ts`));
const speaks = new Set(["plugins", "attachment", "ipam"]);

const layer = (path: string): string => (path.includes("/") ? path.slice(0, path.indexOf("/")) : path.replace(/\.ts$/, ""));

interface Import {
  from: string;
  to: string;
}

const specifiers = (code: string): string[] =>
  [...code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)"([^"]+)"/g)].map((match) => match[1]!);

const imports: Import[] = files.flatMap((from) => specifiers(text(from)).map((to) => ({ from, to })));
const own = imports.filter(({ to }) => to.startsWith(".")).map(({ from, to }) => ({ from, to: relative(source, join(source, dirname(from), to)) }));

const permitted = ({ from, to }: Import): boolean =>
  to.endsWith("package.json") || layer(from) === layer(to) || allowed[layer(from)]?.includes(layer(to)) === true || (speaks.has(layer(from)) && vocabulary.has(to));

const show = (list: Import[]): string[] => list.map(({ from, to }) => `${from} imports ${to}`);

describe("the source", () => {
  test("imports one way: main, cni and cli, plugins, attachment and ipam, kernel, net", () => {
    expect(files.length).toBeGreaterThan(5);
    expect(show(own.filter((each) => !permitted(each)))).toEqual([]);
  });

  test("has plugins that only the registry imports", () => {
    const plugins = new Set(["bridge", "ptp", "loopback", "host-local", "portmap"].map((name) => `plugins/${name}.ts`));
    expect([...plugins].filter((path) => !files.includes(path))).toEqual([]);
    expect(show(own.filter(({ from, to }) => plugins.has(to) && from !== "plugins/registry.ts"))).toEqual([]);
  });

  test("spells its own imports with the suffix", () => {
    expect(show(own.filter(({ to }) => !to.endsWith(".ts") && !to.endsWith(".json")))).toEqual([]);
  });

  test("reaches libc in one file", () => {
    expect(files.filter((path) => /\b(Bun\.FFI|dlopen)\b|\bFFI\b/.test(withoutComments(text(path))))).toEqual(["kernel/libc.ts"]);
  });

  test("keeps slow modules off the path of a runtime", () => {
    const slow = imports.filter(({ from, to }) => /^(node:|ip-num|execa|zod$)/.test(to) && layer(from) !== "cli");
    expect(show(slow)).toEqual([]);
  });

  test("is synchronous", () => {
    const asynchronous = files.filter((path) => /\basync\b|\bawait\b|\.then\(|\bnew Promise\b/.test(withoutComments(text(path))));
    expect(asynchronous).toEqual([]);
  });

  test("has files a person can read in one go", () => {
    expect(files.filter((path) => text(path).split("\n").length > 280)).toEqual([]);
  });
});

/** Code without comments and strings, near enough to look for words in. */
function withoutComments(code: string): string {
  return code.replace(/"(?:[^"\\\n]|\\.)*"/g, '""').replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
}

import { describe, expect, test } from "vitest";
import { pluginNames } from "../../src/plugins/registry.ts";
import { files, type Import, imports, layer, show, text, withoutComments } from "./source.ts";

/** What a folder of src may import from, apart from itself. */
const allowed: Record<string, string[]> = {
  main: ["warm-up", "cli", "plugins", "cni", "kernel", "net"],
  "warm-up": ["plugins", "cni", "netlink", "net"],
  cli: ["plugins", "attachment", "ipam", "kernel", "netlink", "net"],
  plugins: ["attachment", "ipam", "kernel", "netlink", "net"],
  attachment: ["kernel", "netlink", "net"],
  ipam: ["kernel", "net"],
  kernel: ["netlink", "net"],
  netlink: ["net"],
  cni: ["net"],
  net: [],
};
/** The files of `cni` that hold what every layer above the kernel speaks of: what a runtime says and how it is read. */
const vocabulary = new Set(
  [
    "error",
    "result",
    "invocation",
    "schema",
    "complaint",
    "log",
    "fields",
    "json",
    "arguments",
    "versions",
    "delegate",
  ].map((name) => `cni/${name}.ts`),
);
const speaks = new Set(["cli", "plugins", "attachment", "ipam"]);
/** Runs other plugins; it is to move out of `cni`. */
const DELEGATE = "cni/delegate.ts";
/** What `#primitives` is in the executable (package.json). */
const PRIMITIVES = "kernel/primitives.ts";

const permitted = ({ from, to }: Import): boolean =>
  to.endsWith("package.json") ||
  layer(from) === layer(to) ||
  allowed[layer(from)]?.includes(layer(to)) === true ||
  (speaks.has(layer(from)) && vocabulary.has(to)) ||
  (from === DELEGATE && layer(to) === "kernel") ||
  (to === "#primitives" && from === "net/bytes.ts");

/** Every file whose code has the words. */
const filesWith = (words: RegExp): string[] =>
  files.filter((path) => words.test(withoutComments(text(path)))).toSorted();

describe("the source", () => {
  test("imports one way: main, cli, plugins, attachment and ipam, kernel, netlink, net", () => {
    expect(files.length).toBeGreaterThan(5);
    expect(imports.length).toBeGreaterThan(300);
    expect(show(imports.filter((each) => !permitted(each)))).toEqual([]);
  });

  test("has plugins that only the registry imports", () => {
    const plugins = new Set(pluginNames.map((name) => `plugins/${name}.ts`));
    expect(plugins.size).toBeGreaterThan(4);
    expect([...plugins].filter((path) => !files.includes(path))).toEqual([]);
    expect(show(imports.filter(({ from, to }) => plugins.has(to) && from !== "plugins/registry.ts"))).toEqual([]);
  });

  test("spells its own imports with the suffix", () => {
    expect(show(imports.filter(({ to }) => !/\.(ts|json)$/.test(to) && to !== "#primitives"))).toEqual([]);
  });

  test("imports in one way only: no require, no import that waits", () => {
    expect(filesWith(/\brequire\b|\bimport\s*\(/)).toEqual([]);
  });

  test("reaches the engine in two files", () => {
    expect(filesWith(/\bglobalThis\b/)).toEqual(["kernel/host.ts", PRIMITIVES]);
  });

  test("knows nothing of a runtime, but for the language", () => {
    const spaces = ["process", "performance", "crypto", "console", "Intl"].map((name) => `${name}\\.`);
    const functions = ["require", "fetch", "URL", "setTimeout", "setInterval", "setImmediate", "queueMicrotask"];
    const others = ["Bun", "Buffer", "node:", "TextEncoder", "TextDecoder", "structuredClone", "Math\\.random"];
    const globals = [...spaces, ...functions.map((name) => `${name}\\(`), ...others];
    expect(filesWith(new RegExp(`\\b(${globals.join("|")})`))).toEqual([]);
    expect("new Buffer(1)").toMatch(new RegExp(`\\b(${globals.join("|")})`));
    expect(show(imports.filter(({ to }) => to.startsWith("node:") || to.startsWith("bun")))).toEqual([]);
  });

  // The heap is made when the executable is built: what a module remembers would be of another machine and another
  // time.
  test("remembers nothing in a module, but for what main tells kernel/process.ts", () => {
    expect(filesWith(/^(?:export )?(?:let|var)\s/m)).toEqual(["kernel/process.ts"]);
  });

  test("is synchronous", () => {
    expect(filesWith(/\basync\b|\bawait\b|\.then\(|\bnew Promise\b/)).toEqual([]);
  });

  test("has files a person can read in one go", () => {
    expect(files.filter((path) => text(path).split("\n").length > 280)).toEqual([]);
  });
});

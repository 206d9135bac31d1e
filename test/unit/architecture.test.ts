import { describe, expect, test } from "vitest";
import { pluginNames } from "../../src/plugins/registry.ts";
import { files, type Import, imports, layer, show, text, withoutComments } from "./source.ts";

/** The folders of src and the files beside them, from top to bottom: each may import from those below it. */
const ladder = [
  ["main"],
  ["warm-up"],
  ["cli"],
  ["doctor"],
  ["survey"],
  ["plugins"],
  ["verbs"],
  ["ipam"],
  ["dhcp"],
  ["node"],
  ["attachment"],
  ["protocol"],
  ["cni"],
  ["kernel"],
  ["netlink"],
  ["net"],
];
const rung = (name: string): number => ladder.findIndex((layers) => layers.includes(name));
/** What `#primitives` is in the executable (package.json). */
const PRIMITIVES = "kernel/primitives.ts";

/** Where a library is used; whoever else needs it says so here. */
const libraries: Record<string, string[]> = {
  "zod/mini": ["cni/schema.ts", "cni/reading.ts"],
  "ip-num": ["survey/capacity.ts"],
};

const permitted = ({ from, to }: Import): boolean =>
  to.endsWith("package.json") ||
  libraries[to]?.includes(from) === true ||
  (to === "#primitives" ? from === "net/bytes.ts" : layer(from) === layer(to) || rung(layer(from)) < rung(layer(to)));

/** Files that import one another in a circle, types too: every file from which a way leads back to it. */
function circles(): string[] {
  const next = new Map(files.map((path) => [path, imports.filter(({ from }) => from === path).map(({ to }) => to)]));
  const reaches = (from: string, goal: string, seen = new Set<string>()): boolean =>
    (next.get(from) ?? []).some((to) => {
      if (to === goal) return true;
      if (seen.has(to)) return false;
      seen.add(to);
      return reaches(to, goal, seen);
    });
  return files.filter((path) => reaches(path, path)).toSorted();
}

/** Every file whose code has the words. */
const filesWith = (words: RegExp): string[] =>
  files.filter((path) => words.test(withoutComments(text(path)))).toSorted();

describe("the source", () => {
  test("imports one way, down the ladder, without exception", () => {
    expect(imports.length).toBeGreaterThan(300);
    expect(files.filter((path) => rung(layer(path)) === -1)).toEqual([]);
    expect(show(imports.filter((each) => !permitted(each)))).toEqual([]);
  });

  test("has no files that import one another in a circle, not even for their types", () => {
    expect(circles()).toEqual([]);
  });

  test("has plugins that only the registry imports", () => {
    const plugins = new Set(
      files
        .filter((path) => /^plugins\/(interface|chained|ipam)\/[a-z0-9-]+\.ts$/.test(path))
        .filter((path) => pluginNames.includes(path.replace(/.*\/|\.ts$/g, ""))),
    );
    expect([...plugins].map((path) => path.replace(/.*\/|\.ts$/g, "")).toSorted()).toEqual(pluginNames.toSorted());
    expect(show(imports.filter(({ from, to }) => plugins.has(to) && from !== "plugins/registry.ts"))).toEqual([]);
  });

  test("spells its own imports with the suffix", () => {
    expect(
      show(imports.filter(({ to }) => !/\.(ts|json)$/.test(to) && to !== "#primitives" && libraries[to] === undefined)),
    ).toEqual([]);
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

  test("has files a person can read in one go, in lines of 120 characters", () => {
    expect(files.filter((path) => text(path).split("\n").length > 280)).toEqual([]);
    expect(
      files.filter((path) =>
        text(path)
          .split("\n")
          .some((line) => line.length > 120),
      ),
    ).toEqual([]);
  });
});

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Code } from "../../src/cni/error.ts";

const root = join(import.meta.dirname, "../..");
const text = (path: string): string => readFileSync(join(root, path), "utf8");
const readme = text("README.md");
const unmentioned = (words: string[], as: (word: string) => string): string[] =>
  words.filter((word) => !readme.includes(as(word)));

// README.md is the only reference for keys, files and commands, so it must not lag behind.
test("README names every file of conf/", () => {
  expect(unmentioned(readdirSync(join(root, "conf")), (file) => `\`${file}\``)).toEqual([]);
});

test("README names every key of the configuration", () => {
  const sources = [
    "plugins/bridge.ts",
    "plugins/ptp.ts",
    "plugins/container-plan.ts",
    "plugins/port-mappings.ts",
    "ipam/config.ts",
    "cni/config.ts",
  ];
  const declared = sources.flatMap((path) => [
    ...text(`src/${path}`).matchAll(
      /\b(\w+): (?:flag|optional|optionalOrEmpty|orElse|integer|conditions\b|requested\b)/g,
    ),
  ]);
  const keys = [...new Set(declared.map((match) => match[1]!))].filter((key) => key !== "requests");
  expect(keys.length).toBeGreaterThan(40);
  expect(keys.filter((key) => !new RegExp(`\`[^\`]*\\b${key}\\b[^\`]*\``).test(readme))).toEqual([]);
});

test("README names only make targets that exist", () => {
  const targets = new Set([...text("Makefile").matchAll(/^([a-z]+):/gm)].map((match) => match[1]!));
  const named = [...readme.matchAll(/(?:`|^ {4})make ([a-z]+)/gm)].map((match) => match[1]!);
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter((target) => !targets.has(target))).toEqual([]);
});

test("README explains every error code that is used", () => {
  const used = Object.entries(Code)
    .filter(([name]) => sourceUses(name))
    .map(([, code]) => String(code));
  expect(unmentioned(used, (code) => `\n| ${code} | `)).toEqual([]);
});

function sourceUses(name: string): boolean {
  const files = readdirSync(join(root, "src"), { recursive: true })
    .map(String)
    .filter((path) => path.endsWith(".ts"));
  return files.some((path) => text(`src/${path}`).includes(`Code.${name}`));
}

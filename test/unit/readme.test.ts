import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands.ts";
import { Code } from "../../src/cni/error.ts";
import { versions } from "../../src/cni/versions.ts";
import { pluginNames } from "../../src/plugins/registry.ts";
import { files, text as sourceText } from "./source.ts";

// The documents are read by people who have nothing else: what they name must exist, and what exists must be named.

const root = join(import.meta.dirname, "../..");
const text = (path: string): string => readFileSync(join(root, path), "utf8");
const documents = ["README.md", "conf/README.md", "src/README.md", "test/README.md"];
const readme = text("README.md");
const all = documents.map(text).join("\n");
const unmentioned = (words: readonly string[], as: (word: string) => string, where = readme): string[] =>
  words.filter((word) => !where.includes(as(word)));

/** What is not an example, with the lines of the document it came from. */
const prose = (path: string): string => text(path).replace(/^ {4}.*$/gm, "");

/** The names by which headings are linked to, as GitHub makes them. */
const anchors = (path: string): string[] =>
  [...text(path).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );

describe("README", () => {
  test("can be read in one go", () => {
    expect(readme.split("\n").length - 1).toBeLessThanOrEqual(200);
  });

  test("lists the plugins there are", () => {
    const table = /\| name \| what it is \|\n\|[-|]+\|\n((?:\|.*\n)+)/.exec(readme)![1]!;
    const cells = [...table.matchAll(/^\| (.*?) \|/gm)].map(([, cell]) => cell!);
    const listed = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
    expect(listed.toSorted()).toEqual(pluginNames.toSorted());
  });

  test("names every version of the protocol", () => {
    const sentence = /^It speaks CNI .*$/m.exec(readme)![0];
    expect(sentence.match(/\d+\.\d+\.\d+/g)).toEqual(versions);
  });

  test("explains every error code that is used", () => {
    const used = Object.entries(Code)
      .filter(([name]) => files.some((path) => sourceText(path).includes(`Code.${name}`)))
      .map(([, code]) => String(code));
    expect(used.length).toBeGreaterThan(6);
    expect(unmentioned(used, (code) => `\n| ${code} | `)).toEqual([]);
  });

  test("names every command of the executable, and none that is not there", () => {
    const names = commands.map(({ name }) => name);
    expect(unmentioned(names, (name) => `podwire ${name}`)).toEqual([]);
    const calls = /(?:`|dist\/|^ {4}(?:docker exec \S+ )?)podwire ([a-z]+)(?![-\w])/gm;
    const named = [...all.matchAll(calls)].map(([, name]) => name!);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !names.includes(name))).toEqual([]);
  });
});

describe("conf/README.md", () => {
  test("names every file of the folder", () => {
    const others = readdirSync(join(root, "conf")).filter((file) => file !== "README.md");
    expect(others.length).toBeGreaterThan(10);
    expect(unmentioned(others, (file) => `\`${file}\``, text("conf/README.md"))).toEqual([]);
  });
});

describe("src/README.md and test/README.md", () => {
  test.each(["src", "test"])("%s/README.md names every folder beside it", (folder) => {
    const entries = readdirSync(join(root, folder), { withFileTypes: true });
    const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(8);
    expect(unmentioned(names, (name) => `\`${name}\``, text(`${folder}/README.md`))).toEqual([]);
  });
});

describe.each(documents)("%s", (path) => {
  test("has lines of at most 160 characters", () => {
    expect(
      text(path)
        .split("\n")
        .filter((line) => line.length > 160),
    ).toEqual([]);
  });

  test("links to what is there", () => {
    const links = [...prose(path).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
    const inside = links.filter((link) => !link.startsWith("https://"));
    expect(inside.length).toBeGreaterThan(4);
    const dead = inside.filter((link) => {
      const [file, anchor] = link.split("#") as [string, string?];
      const target = file === "" ? path : join(dirname(path), file);
      return !existsSync(join(root, target)) || (anchor !== undefined && !anchors(target).includes(anchor));
    });
    expect(dead).toEqual([]);
  });

  test("names only files, folders and make targets that are there", () => {
    const words = text(path).matchAll(/(?:^|[\s`(])((?:src|test|conf|\.ci)\/[\w./*-]+)/gm);
    const paths = [...words].map(([, name]) => name!.replace(/[.,]$/, "")).filter((name) => !name.includes("*"));
    expect(paths.filter((name) => !existsSync(join(root, name)))).toEqual([]);
    const targets = new Set([...text("Makefile").matchAll(/^([a-z0-9]+):/gm)].map(([, target]) => target!));
    const named = [...text(path).matchAll(/(?:`|^ {4})make ([a-z0-9]+)/gm)].map(([, target]) => target!);
    expect(named.filter((target) => !targets.has(target))).toEqual([]);
  });
});

describe("what make downloads", () => {
  const caches = (given: Record<string, string> = {}): string[] => {
    const shown = ["--eval", "shown: ; @env | grep -iE '^(npm_config_cache|cargo_home)='", "shown"];
    const env = { PATH: process.env.PATH, HOME: "/home/somebody", ...given };
    return execFileSync("make", ["-s", ...shown], { cwd: root, env, encoding: "utf8" })
      .trim()
      .split("\n")
      .toSorted();
  };

  test("stays in this folder, not in HOME", () => {
    expect(caches()).toEqual([`CARGO_HOME=${root}/.cache/cargo`, `npm_config_cache=${root}/.cache/npm`]);
  });

  test("goes where the user has it otherwise", () => {
    const given = { CARGO_HOME: "/srv/cargo", NPM_CONFIG_CACHE: "/srv/npm" };
    expect(caches(given)).toEqual(["CARGO_HOME=/srv/cargo", "NPM_CONFIG_CACHE=/srv/npm"]);
    expect(caches({ npm_config_cache: "/srv/npm" })).toContain("npm_config_cache=/srv/npm");
  });
});

test("the documents name every make target a person would use", () => {
  const targets = /^\.PHONY: (.*)$/m.exec(text("Makefile"))![1]!.split(" ");
  expect(unmentioned(targets, (target) => `make ${target}`, all)).toEqual([]);
});

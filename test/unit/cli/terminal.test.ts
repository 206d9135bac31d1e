import { describe, expect, test } from "vitest";
import { count, cut, formatFact, formatTable, paint, wrap } from "../../../src/cli/terminal.ts";
import { thousands } from "../../../src/net/text.ts";

const widest = (text: string): number => Math.max(...text.split("\n").map(({ length }) => length));

describe("text for a terminal", () => {
  test("a fact is one line; what was expected and what mends it stand below", () => {
    expect(formatFact({ state: "ok", layer: "link", text: "both ends up, MTU 1500" })).toBe(
      "  ok    link         both ends up, MTU 1500",
    );
    const more = { expected: "10.244.1.7 dev vethd825dc511cd scope host", "mend it": "podwire repair web" };
    expect(formatFact({ state: "FAULT", layer: "route", text: "the node has no route to 10.244.1.7", more })).toBe(
      [
        "  FAULT route        the node has no route to 10.244.1.7",
        "                     expected: 10.244.1.7 dev vethd825dc511cd scope host",
        "                     mend it:  podwire repair web",
      ].join("\n"),
    );
  });

  test("long text goes on below itself, in 80 columns", () => {
    const text = formatFact({
      state: "warn",
      layer: "addresses",
      text: "many words ".repeat(20),
      more: { a: "b ".repeat(99) },
    });
    expect(widest(text)).toBeLessThanOrEqual(80);
    expect(text.split("\n").every((line, at) => at === 0 || line.startsWith(" ".repeat(21)))).toBe(true);
    expect(text.split(/\s+/).filter((word) => word === "words")).toHaveLength(20);
  });

  test("a line is filled up to the last column, and a word that is longer stays whole", () => {
    const line = `${"x".repeat(39)} ${"y".repeat(40)}`;
    expect(wrap(`${line} z`)).toBe(`${line}\nz`);
    expect(wrap(`a ${"/path".repeat(20)} b`, { indent: "  " })).toBe(`a\n  ${"/path".repeat(20)}\n  b`);
    expect(wrap("x".repeat(60), { first: `${"y".repeat(30)}  `, indent: "  " })).toBe(
      `${"y".repeat(30)}\n  ${"x".repeat(60)}`,
    );
    expect(wrap("")).toBe("");
  });

  test.each([
    ["cni-5f3c81", 10, "cni-5f3c81"],
    ["cni-5f3cdeadbeef81", 10, "cni-...f81"],
    ["abcdefgh", 1, "a...h"],
  ])("%s in %d columns is %s", (value, columns, expected) => {
    expect(cut(value, columns)).toBe(expected);
  });

  test("numbers have commas, and what is counted is in the plural but for one", () => {
    expect([0, 999, 1000, 18211, 1234567, 2n ** 40n].map(thousands)).toEqual([
      "0",
      "999",
      "1,000",
      "18,211",
      "1,234,567",
      "1,099,511,627,776",
    ]);
    expect([count(0, "fault"), count(1, "fault"), count(2000, "fault"), count(2, "entry", "entries")]).toEqual([
      "no faults",
      "1 fault",
      "2,000 faults",
      "2 entries",
    ]);
  });

  test("tables are as wide as they must be, and lose the middle of long values where that is too wide", () => {
    expect(
      formatTable([
        ["A", "B"],
        ["long", ""],
        ["x", "y"],
      ]),
    ).toBe("A     B\nlong\nx     y");
    const table = formatTable([
      ["NETWORK", "ID", "STATE"],
      ["pods", "c".repeat(64), "live"],
      [`${"n".repeat(60)}tail`, "d", "gone"],
    ]);
    expect(widest(table)).toBe(80);
    expect(table).toMatch(/^n+\.\.\.n+tail +d +gone$/m);
    expect(table).toMatch(/^pods +c+\.\.\.c+ +live$/m);
  });

  test("colour is added to states in front of lines, and takes nothing away", () => {
    const plain = "title ok\n  ok    link  up\n  FAULT route none\n        ok   not a state\n";
    const painted = paint(plain);
    expect(painted).toContain("  \x1b[32mok\x1b[0m    link");
    expect(painted).toContain("  \x1b[1;31mFAULT\x1b[0m route");
    const codes = ["32", "1;31", "0"].map((code) => `\x1b[${code}m`);
    expect(codes.map((code) => painted.split(code).length - 1)).toEqual([1, 1, 2]);
    expect(codes.reduce((text, code) => text.replaceAll(code, ""), painted)).toBe(plain);
  });
});

import { describe, expect, test } from "vitest";
import { asksForHelp, findOperand, type Given, parseArguments, UsageError } from "../../../src/cli/arguments.ts";

const options = {
  "--dir": { value: "DIR", about: "" },
  "--names": { value: "LIST", about: "" },
  "--port": { value: "PORT", about: "", repeated: true },
  "--state": { value: "STATE", about: "", among: ["gone", "live"] },
  "--dry-run": { about: "" },
};
const operands = { VERB: { about: "", among: ["add", "del"] }, FILE: { about: "", optional: true, repeated: true } };
const none = { operands: {}, options };

const shown = (given: Given, ...names: string[]) =>
  Object.fromEntries(names.filter((name) => given.has(name)).map((name) => [name, given.all(name)]));
const given = (...args: string[]) => shown(parseArguments(args, none), ...Object.keys(options));
const both = (...args: string[]) =>
  shown(parseArguments(args, { operands, options }), ...Object.keys(options), ...Object.keys(operands));

describe("arguments", () => {
  test.each([
    [[], {}],
    [["--dir", "/a", "--dry-run"], { "--dir": ["/a"], "--dry-run": [""] }],
    [["--dry-run", "--dir=/a=b"], { "--dir": ["/a=b"], "--dry-run": [""] }],
    [["--port", "1:2", "--port=3:4"], { "--port": ["1:2", "3:4"] }],
    [["--dir=-x"], { "--dir": ["-x"] }],
    [["--dir", "-"], { "--dir": ["-"] }],
    [["--state", "gone"], { "--state": ["gone"] }],
  ])("%j", (args, expected) => {
    expect(given(...args)).toEqual(expected);
  });

  test.each([
    [["add"], { VERB: ["add"] }],
    [["add", "-"], { VERB: ["add"], FILE: ["-"] }],
    [
      ["--dir", "/a", "del", "b", "--dry-run", "c"],
      { "--dir": ["/a"], "--dry-run": [""], VERB: ["del"], FILE: ["b", "c"] },
    ],
    [["--", "add", "--dir", "-h"], { VERB: ["add"], FILE: ["--dir", "-h"] }],
  ])("%j with operands", (args, expected) => {
    expect(both(...args)).toEqual(expected);
  });

  test("of two values of one option the last counts, and what may be absent is", () => {
    const read = parseArguments(["--dir", "/a", "--dir", "/b"], none);
    expect([read.find("--dir"), read.get("--dir"), read.find("--names"), read.all("--names")]).toEqual([
      "/b",
      "/b",
      undefined,
      [],
    ]);
    expect(() => read.get("--names")).toThrow("--names is read");
  });

  test.each([
    [["--dir"], "--dir needs a value"],
    [["--dir="], "--dir needs a value"],
    [["--dir", ""], "--dir needs a value"],
    [["--dir", "--dry-run"], "--dir needs a value"],
    [["--dry-run=yes"], "--dry-run takes no value"],
    [["--wrong"], "unknown argument --wrong"],
    [["--wrong=1"], "unknown argument --wrong=1"],
    [["--dryrun"], "unknown argument --dryrun; did you mean --dry-run?"],
    [["word"], "unknown argument word"],
    [["constructor"], "unknown argument constructor"],
    [["-x"], "unknown argument -x"],
    [["--state", "dead"], '--state is "dead", must be gone or live'],
  ])("%j is refused", (args, message) => {
    expect(() => given(...args)).toThrow(new UsageError(message));
  });

  test.each([
    [[], "VERB is missing"],
    [["--dir", "add"], "VERB is missing"],
    [["ad"], 'VERB is "ad", must be add or del; did you mean add?'],
  ])("%j is refused with operands", (args, message) => {
    expect(() => both(...args)).toThrow(new UsageError(message));
  });

  test("the first operand is found among options and their values", () => {
    const find = (...args: string[]) => findOperand(args, options);
    expect([find("--dir", "a", "b"), find("--dir=a", "--dry-run"), find("--", "-x"), find("a")]).toEqual([2, -1, 1, 0]);
  });

  test("ask for help by either name, anywhere but behind --", () => {
    expect([["--help"], ["-h"], ["--dir", "/a", "-h"], ["--dir", "/a"], [], ["--", "-h"]].map(asksForHelp)).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

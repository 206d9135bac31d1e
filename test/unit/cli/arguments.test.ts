import { describe, expect, test } from "vitest";
import { asksForHelp, parseArguments, UsageError } from "../../../src/cli/arguments.ts";

const options = { "--dir": "value", "--names": "value", "--dry-run": "flag" } as const;
const given = (...args: string[]) => Object.fromEntries(parseArguments(args, options));

describe("arguments", () => {
  test.each([
    [[], {}],
    [["--dir", "/a", "--dry-run"], { "--dir": "/a", "--dry-run": "" }],
    [["--dry-run", "--dir=/a=b"], { "--dir": "/a=b", "--dry-run": "" }],
    [["--dir", "/a", "--dir", "/b"], { "--dir": "/b" }],
    [["--dir=-x"], { "--dir": "-x" }],
  ])("%j", (args, expected) => {
    expect(given(...args)).toEqual(expected);
  });

  test.each([
    [["--dir"], "--dir needs a value"],
    [["--dir="], "--dir needs a value"],
    [["--dir", ""], "--dir needs a value"],
    [["--dir", "--dry-run"], "--dir needs a value"],
    [["--dry-run=yes"], "--dry-run takes no value"],
    [["--wrong"], "unknown argument --wrong"],
    [["--wrong=1"], "unknown argument --wrong=1"],
    [["word"], "unknown argument word"],
    [["constructor"], "unknown argument constructor"],
    [["-x"], "unknown argument -x"],
  ])("%j is refused", (args, message) => {
    expect(() => given(...args)).toThrow(new UsageError(message));
  });

  test("ask for help by either name, anywhere", () => {
    expect([["--help"], ["-h"], ["--dir", "/a", "-h"], ["--dir", "/a"], []].map(asksForHelp)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

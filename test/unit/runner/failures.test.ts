import { expect, test } from "vitest";
import { failuresOf, type Report, told } from "../../runner/failures.ts";

// Of a run elsewhere often the end alone is seen: it has to say what failed.

const file = (name: string, ...failed: string[]): Report["testResults"][number] => ({
  name: `/there/test/executable/${name}`,
  status: "failed",
  message: failed.length === 0 ? "SyntaxError: that word\n    at line 3" : "",
  assertionResults: [
    { status: "passed", fullName: "goes well", failureMessages: [] },
    ...failed.map((fullName) => ({
      status: "failed",
      fullName,
      failureMessages: ["\u001b[31mnot so\u001b[39m\n\nbut"],
    })),
  ],
});

const report = (...testResults: Report["testResults"]): Report => ({
  numPassedTests: 1,
  numPendingTests: 0,
  numTodoTests: 0,
  success: testResults.length === 0,
  testResults,
});

const failures = (run: { report: Report | undefined; status: number; said: string }): string[] =>
  told(failuresOf("/there", { kind: "executable", ...run }));

test("a failed test is named with what was said of it", () => {
  expect(failures({ report: report(file("a.test.ts", "one", "two")), status: 1, said: "" })).toEqual([
    "FAILED executable: test/executable/a.test.ts: one",
    "    not so",
    "    but",
    "FAILED executable: test/executable/a.test.ts: two",
    "    not so",
    "    but",
  ]);
});

test("so is one that took too long, whose message is not in the report", () => {
  const late = file("a.test.ts", "late");
  late.assertionResults[1]!.failureMessages = ["Error: STACK_TRACE_ERROR\n    at task (/there/node_modules/x.js:1:1)"];
  expect(failures({ report: report(late), status: 1, said: "" })).toEqual([
    "FAILED executable: test/executable/a.test.ts: late",
    expect.stringContaining("took longer"),
  ]);
});

test("so is a file of which no test failed: it was not loaded, or what it prepares failed", () => {
  expect(failures({ report: report(file("b.test.ts")), status: 1, said: "" })).toEqual([
    "FAILED executable: test/executable/b.test.ts",
    "    SyntaxError: that word",
    "        at line 3",
  ]);
});

test("so is a run that wrote no report, or failed without a failed test, with the end of what it said", () => {
  const said = "started\nkilled\n";
  expect(failures({ report: undefined, status: 137, said })).toEqual([
    "FAILED executable: no report, status 137",
    "    started",
    "    killed",
  ]);
  expect(failures({ report: report(), status: 1, said })[0]).toBe(
    "FAILED executable: no test failed, but the run did: status 1",
  );
  expect(failures({ report: report(), status: 0, said })).toEqual([]);
});

test("however many there are, they are told in fewer than 40 lines, names first of all", () => {
  for (const count of [1, 7, 20, 300]) {
    const many = Array.from({ length: count }, (_, index) => `test ${index}`);
    const lines = failures({ report: report(file("c.test.ts", ...many)), status: 1, said: "" });
    expect(lines.length).toBeLessThan(40);
    expect(lines.filter((line) => line.startsWith("FAILED"))).toHaveLength(Math.min(count, 20));
    if (count > 20) expect(lines.at(-1)).toBe("and 280 more");
  }
});

import { relative } from "node:path";
import { stripVTControlCharacters } from "node:util";

/** What vitest's JSON reporter writes, as far as it is read here. */
export interface Report {
  numPassedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  success: boolean;
  testResults: FileReport[];
}

interface FileReport {
  name: string;
  status: string;
  message: string;
  assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
}

/** Something that failed: where and which, and what was said of it. */
export interface Failure {
  name: string;
  said: string[];
}

/** How many lines failures are told in, and how many of them: a log's end is all that some see of it. */
const room = 36;
const most = 20;
const longest = 600;

/** The report has the stack alone of vitest's error, which says no more than that. */
const TIMED_OUT = "it took longer than its kind may (test/vitest.config.ts)";

/** What failed in a run of one kind, by its report, if it wrote one, its exit status, and the end of what it said. */
export function failuresOf(
  root: string,
  run: { kind: string; report: Report | undefined; status: number; said: string },
): Failure[] {
  const { kind, report, status, said } = run;
  if (report === undefined) {
    return [{ name: `${kind}: no report, status ${status}`, said: lines(said).slice(-room) }];
  }
  const failures = report.testResults.flatMap((file) => failuresOfFile(`${kind}: ${relative(root, file.name)}`, file));
  if (failures.length > 0 || (status === 0 && report.success)) return failures;
  return [{ name: `${kind}: no test failed, but the run did: status ${status}`, said: lines(said).slice(-room) }];
}

/** The failed tests of a file; or the file itself, where it was not loaded, or what it prepares failed. */
function failuresOfFile(name: string, file: FileReport): Failure[] {
  const failed = file.assertionResults.filter((test) => test.status === "failed");
  if (failed.length === 0 && file.status === "failed") return [{ name, said: lines(file.message) }];
  return failed.map((test) => ({
    name: `${name}: ${test.fullName}`,
    said: lines(test.failureMessages.join("\n").replace("Error: STACK_TRACE_ERROR", TIMED_OUT)),
  }));
}

/** What to print of failures: each by name, and with as many lines of its message as there is room for. */
export function told(failures: readonly Failure[]): string[] {
  const shown = failures.slice(0, most);
  const each = Math.floor(room / Math.max(1, shown.length)) - 1;
  const more = failures.length - shown.length;
  const text = shown.flatMap(({ name, said }) => [
    `FAILED ${name.slice(0, longest)}`,
    ...said.slice(0, each).map((line) => `    ${line.slice(0, longest)}`),
  ]);
  return more > 0 ? [...text, `and ${more} more`] : text;
}

/** Lines without colours; of a stack only what is podwire's. */
function lines(text: string): string[] {
  return stripVTControlCharacters(text)
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "" && !/\/node_modules\/|at new Promise/.test(line));
}

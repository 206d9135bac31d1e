import { CniError, Code } from "../../cni/error.ts";
import { readText } from "../../kernel/file.ts";
import { isErrno } from "../../kernel/linux.ts";

/** The node's list of sysctls a configuration may set, a regular expression a line; where it is missing, all. */
const ALLOW_LIST = "/etc/cni/tuning/allowlist.conf";

/** CniError 7 for the first key no line of the node's list matches, and for a line that is no expression. */
export function assertAllowed(keys: readonly string[]): void {
  if (keys.length === 0) return;
  const lines = readLines();
  if (!lines) return;
  const allowed = lines.map((line) => parseExpression(line));
  const refused = keys.find((key) => !allowed.some((expression) => expression.test(key)));
  if (refused === undefined) return;
  throw new CniError(
    Code.InvalidConfig,
    `sysctl ${JSON.stringify(refused)} is not allowed here: no line of ${ALLOW_LIST} matches it ` +
      `(${lines.length > 0 ? lines.join(", ") : "the file is empty"})`,
  );
}

function readLines(): string[] | undefined {
  try {
    return readText(ALLOW_LIST)
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

const classes: Record<string, string> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  digit: "0-9",
  lower: "a-z",
  upper: "A-Z",
  word: "\\w",
  xdigit: "0-9A-Fa-f",
};

/**
 * A line in Go's syntax. What JavaScript reads otherwise, or not at all, must not come to allow another key: flag `u`
 * makes that an error, but for classes such as [[:alpha:]] and characters that need no escape.
 */
function parseExpression(line: string): RegExp {
  const isCaseless = line.startsWith("(?i)");
  const translated = line
    .slice(isCaseless ? 4 : 0)
    .replace(/\[:(\w+):\]/g, (whole, name: string) => classes[name] ?? whole)
    // classes stay as they are
    .replace(
      /\[(?:\\.|[^\]\\])*\]|\\(?:([!"#%&',:;<=>@_`~ -])|.)/gs,
      (whole, plain: string | undefined) => plain ?? whole,
    );
  try {
    if (translated.includes("[:")) throw new SyntaxError("a class of characters that is not known");
    return new RegExp(translated, isCaseless ? "iu" : "u");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CniError(
      Code.InvalidConfig,
      `${ALLOW_LIST}: ${JSON.stringify(line)} is no regular expression that podwire can read: ${error.message}`,
    );
  }
}

import { JsonFault, scanJson } from "./json-scanner.ts";

/**
 * What Go's encoder escapes inside strings beyond what JSON asks for, so that the text is safe inside HTML and
 * JavaScript; and control characters a terminal would obey.
 */
const escaped = /[<>&\u007f-\u009f\u2028\u2029]/g;
const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** The value as a runtime expects it on standard output: four spaces of indent, no newline at the end. */
export const printJson = (value: unknown): string => JSON.stringify(value, null, 4).replace(escaped, escape);

/** The value on one line, with Go's escapes. */
export const printCompactJson = (value: unknown): string => JSON.stringify(value).replace(escaped, escape);

/**
 * The engine reads and prints JSON by calling itself: what is nested deeper than its stack allows is no failure of
 * podwire's.
 */
export const isStackOverflow = (error: unknown): boolean =>
  error instanceof Error && !(error instanceof SyntaxError) && /stack/i.test(error.message);

/** The value a text is, undefined where it is no JSON, or nested too deeply to be read. */
export function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError || isStackOverflow(error)) return undefined;
    throw error;
  }
}

/** Where a text stops being JSON, and why: `expected "," or "}", found "x"`; undefined for one that is JSON. */
export function findFault(text: string): { line: number; column: number; why: string } | undefined {
  try {
    scanJson(text);
    return undefined;
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    return { ...placeOf(text, error.at), why: error.message };
  }
}

/** `findFault` in a line: `line 3, column 7: expected "," or "}", found "x"`; "" for a text that is JSON. */
export function explainJson(text: string): string {
  const fault = findFault(text);
  return fault ? `line ${fault.line}, column ${fault.column}: ${fault.why}` : "";
}

/** Lines and characters are counted from 1. */
export function placeOf(text: string, at: number): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let end = text.indexOf("\n"); end >= 0 && end < at; end = text.indexOf("\n", start)) {
    line++;
    start = end + 1;
  }
  let column = 1;
  for (let each = start; each < at; each++) if (!isLowSurrogate(text.charCodeAt(each))) column++;
  return { line, column };
}

/** The second half of a character beyond U+FFFF. */
const isLowSurrogate = (code: number): boolean => code >= 0xdc00 && code < 0xe000;

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:]/gs;

/**
 * A key that stands twice in the object which the outermost object has under a name (in any case), exactly spelled;
 * undefined where none does. The text is JSON.
 */
export function findRepeatedKey(text: string, name: string): string | undefined {
  let depth = 0;
  let word = "";
  let isInside = false;
  const seen = new Set<string>();
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (token !== ":") word = token;
    else if (depth <= 2) {
      const key = JSON.parse(word) as string;
      if (depth === 1) {
        isInside = key.toLowerCase() === name;
        seen.clear();
      } else if (isInside && seen.has(key)) return key;
      else seen.add(key);
    }
  }
  return undefined;
}

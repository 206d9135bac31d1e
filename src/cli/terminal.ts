import { thousands } from "../net/text.ts";

// How podwire's commands write to a person: plain ASCII, states as words, everything in 80 columns.

/** Everything fits into so many columns, on wider terminals and in files too: one output to read, compare and grep. */
export const COLUMNS = 80;

/** How something is, in the order of how bad it is; the words stand in the first column. */
export const states = ["ok", "skip", "warn", "FAULT"] as const;
export type State = (typeof states)[number];

/** One thing that was looked at, as a line: `  ok    route        by 10.1.0.1`. */
export interface Fact {
  state: State;
  /** what was looked at, in a word: "route" */
  layer: string;
  text: string;
  /** further lines by what they are: { expected: "...", "mend it": "podwire repair web" } */
  more?: Readonly<Record<string, string>>;
}

const MARGIN = "  ";
const STATE_WIDTH = 6;
const LAYER_WIDTH = 13;

/** A fact as lines of at most 80 columns, without a newline at the end. */
export function formatFact({ state, layer, text, more = {} }: Fact): string {
  const head = `${MARGIN}${state.padEnd(STATE_WIDTH)}${`${layer} `.padEnd(LAYER_WIDTH)}`;
  const indent = " ".repeat(head.length);
  const widest = Math.max(...Object.keys(more).map((name) => name.length + 2));
  const further = Object.entries(more).map(([name, value]) => {
    const begin = `${indent}${`${name}:`.padEnd(widest)}`;
    return wrap(value, { first: begin, indent: " ".repeat(begin.length) });
  });
  return [wrap(text, { first: head, indent }), ...further].join("\n");
}

/**
 * Text in lines of at most 80 columns, broken at spaces: `first` stands before the first line, `indent` before the
 * others. A word that is longer (a path, a command's argument) stays whole: half of it is of no use to anybody.
 */
export function wrap(text: string, { first = "", indent = "" } = {}): string {
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.split(/\s+/).filter((each) => each !== "")) {
    const next = isEmpty ? word : ` ${word}`;
    const isFull = line.length + next.length > COLUMNS && (!isEmpty || line.length > indent.length);
    if (isFull) lines.push(line.trimEnd());
    line = isFull ? indent + word : line + next;
    isEmpty = false;
  }
  return [...lines, line.trimEnd()].join("\n");
}

/** Sentences as a text: each begins a line, and goes on below with a margin. */
export const toText = (sentences: readonly string[]): string =>
  `${sentences.map((sentence) => wrap(sentence, { indent: MARGIN })).join("\n")}\n`;

const CUT = "...";

/** A long value without its middle, in at most so many columns: `cni-5f3c...81`. */
export function cut(value: string, columns: number): string {
  if (value.length <= columns) return value;
  const kept = Math.max(2, columns - CUT.length);
  return `${value.slice(0, Math.ceil(kept / 2))}${CUT}${value.slice(-Math.floor(kept / 2))}`;
}

/** "1 fault", "2 faults", "no faults"; `many` where an s does not make the plural. */
export const count = (number: number, one: string, many = `${one}s`): string =>
  `${number === 0 ? "no" : thousands(number)} ${number === 1 ? one : many}`;

/** Those that commands for what lives pass over. */
export const goneAttachments = (number: number): string =>
  count(number, "attachment of a pod that is gone", "attachments of pods that are gone");

const GAP = "  ";
/** What a column has at least, however long the others are. */
const NARROW = 12;

/** Rows in columns as wide as they must be; where 80 are not enough the widest columns lose the middle of values. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>(
    (widest, cells) => cells.map((cell, at) => Math.max(widest[at] ?? 0, cell.length)),
    [],
  );
  for (;;) {
    const excess = widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1)) - COLUMNS;
    const [widest = 0, next = 0] = widths.toSorted((a, b) => b - a);
    if (excess <= 0 || widest <= NARROW) break;
    // down to the next widest, then both by one
    const step = Math.max(1, Math.min(excess, widest - Math.max(next, NARROW)));
    widths[widths.indexOf(widest)] = widest - step;
  }
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => cut(cell, widths[at]!).padEnd(widths[at]!))
      .join(GAP)
      .trimEnd();
  return rows.map(line).join("\n");
}

/** Select Graphic Rendition of ECMA-48: bold and a colour. */
const colours: Record<State, string> = { ok: "32", skip: "36", warn: "1;33", FAULT: "1;31" };

/** Text with the states in front of its lines in colour, and nothing else: what the words say does not depend on it. */
export const paint = (text: string): string =>
  text.replaceAll(
    /^( {2})(ok|skip|warn|FAULT)(?= )/gm,
    (_, margin: string, state: State) => `${margin}\x1b[${colours[state]}m${state}\x1b[0m`,
  );

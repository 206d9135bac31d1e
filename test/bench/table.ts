/** One line of the table in `unit`, and the target for it where the project has one. */
export interface Row {
  what: string;
  podwire: number;
  reference?: number;
  /** at most this share of the reference, or of what `against` names */
  target?: number;
  against?: { what: string; value: number };
  /** at most so much, in `unit` */
  limit?: number;
  /** ms when absent */
  unit?: string;
  runs: number;
}

export const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

export const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The ratio a row is judged by. */
const ratio = (row: Row): number | undefined => {
  const base = row.against?.value ?? row.reference;
  return base === undefined ? undefined : row.podwire / base;
};

/** Three digits that count, none behind the point in what is counted. */
const figure = (value: number, unit = "ms"): string => {
  const digits = unit === "" ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.max(value, 1))));
  return `${value.toFixed(digits)} ${unit}`.trimEnd();
};

const judge = ({ podwire, target, limit }: Row, share: number | undefined): string => {
  if (limit !== undefined) return podwire <= limit ? "met" : "missed";
  if (target === undefined || share === undefined) return "";
  return share <= target ? "met" : "missed";
};

/** A row in one line, for those who wait for the table. */
export const brief = ({ what, podwire, reference, unit }: Row): string =>
  [`${what}: ${figure(podwire, unit)}`, ...(reference === undefined ? [] : [`(${figure(reference, unit)})`])].join(" ");

/** The table as Markdown. */
export function format(rows: Row[]): string {
  const cells = rows.map((row) => {
    const { what, podwire, reference, target, against, limit, unit, runs } = row;
    const share = ratio(row);
    const wanted = limit === undefined ? target : figure(limit, unit);
    return [
      what,
      figure(podwire, unit),
      reference === undefined ? "" : figure(reference, unit),
      share === undefined ? "" : `${share.toFixed(share < 0.1 ? 3 : 2)}${against ? ` of ${against.what}` : ""}`,
      wanted === undefined ? "" : `≤ ${wanted}`,
      judge(row, share),
      `${runs}`,
    ];
  });
  const header = ["what", "podwire", "reference", "ratio", "target", "", "runs"];
  const widths = header.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]!.length)));
  const line = (row: string[]): string =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(" | ")} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(header), rule, ...cells.map(line)].join("\n");
}

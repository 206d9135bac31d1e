/** One line of the table: medians in `unit`, and the target for their ratio where the project has one. */
export interface Row {
  what: string;
  podwire: number;
  reference?: number;
  /** at most this share of the reference, or of what `against` names */
  target?: number;
  against?: { what: string; value: number };
  /** ms when absent */
  unit?: string;
  runs: number;
}

export const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/** The ratio a row is judged by. */
export const ratio = (row: Row): number | undefined => {
  const base = row.against?.value ?? row.reference;
  return base === undefined ? undefined : row.podwire / base;
};

/** The table as Markdown. */
export function format(rows: Row[]): string {
  const cells = rows.map((row) => {
    const value = ratio(row);
    const judged = row.target === undefined || value === undefined ? "" : value <= row.target ? "met" : "missed";
    const unit = row.unit ?? "ms";
    return [
      row.what,
      `${row.podwire.toFixed(1)} ${unit}`,
      row.reference === undefined ? "" : `${row.reference.toFixed(1)} ${unit}`,
      value === undefined ? "" : `${value.toFixed(2)}${row.against ? ` of ${row.against.what}` : ""}`,
      row.target === undefined ? "" : `≤ ${row.target}`,
      judged,
      `${row.runs}`,
    ];
  });
  const header = ["what", "podwire", "reference", "ratio", "target", "", "runs"];
  const widths = header.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]!.length)));
  const line = (row: string[]): string => `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(" | ")} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(header), rule, ...cells.map(line)].join("\n");
}

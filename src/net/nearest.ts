/** How many letters have to be put in, left out, changed or swapped with the next to make one word of the other. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i++) {
    const [above, row] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= b.length; j++) {
      const steps = [above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(Math.min(...steps, ...(isSwap ? [rows[i - 2]![j - 2]! + 1] : [])));
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** The one of the words that differs from this one by a slip or two; undefined for none. Case does not count. */
export function nearMiss(word: string, words: readonly string[]): string | undefined {
  const slips = (known: string): number => distance(word.toLowerCase(), known.toLowerCase());
  // of a word as short as "mtu" one letter is a third
  const near = words.filter((known) => known.length > 2 && slips(known) <= (known.length > 5 ? 2 : 1));
  return near.toSorted((a, b) => slips(a) - slips(b))[0];
}

/** The one of the words that was probably meant, for a person who mistyped it or its beginning; undefined for none. */
export const nearest = (word: string, words: readonly string[]): string | undefined =>
  words.find((known) => word.length > 1 && known.startsWith(word)) ?? nearMiss(word, words);

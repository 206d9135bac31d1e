/** How many letters have to be put in, left out or changed to make one word of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The one of the words that was probably meant, for a person who mistyped it; undefined for none. */
export const nearest = (word: string, words: readonly string[]): string | undefined =>
  words.find((known) => word.length > 1 && known.startsWith(word)) ??
  words.find((known) => distance(word, known) <= (known.length > 5 ? 2 : 1));

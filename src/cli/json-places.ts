/** Where a value is written: offsets into the text of its key, if it has one, and of itself. */
export interface Place {
  key: number;
  value: number;
}

export type Path = readonly PropertyKey[];

/** In any case, as keys are read; of two spellings the later one counts. */
const nameOf = (path: Path): string => JSON.stringify(path.map(String)).toLowerCase();

const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

/** Where everything stands in a text that is JSON: the place of a path, or of the nearest thing above it. */
export function placesIn(text: string): (path: Path) => Place {
  const places = new Map<string, Place>();
  const open: { path: Path; step: string | number; isList: boolean }[] = [];
  let key: number | undefined;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    const inside = open.at(-1);
    if (token === "," || token === "}" || token === "]") {
      if (token !== ",") open.pop();
      else if (inside!.isList) inside!.step = Number(inside!.step) + 1;
      key = undefined;
    } else if (token === ":") continue;
    else if (inside && !inside.isList && key === undefined) {
      key = index;
      inside.step = JSON.parse(token) as string;
    } else {
      const path = inside ? [...inside.path, inside.step] : [];
      places.set(nameOf(path), { key: key ?? index, value: index });
      if (token === "{" || token === "[") open.push({ path, step: 0, isList: token === "[" });
      key = undefined;
    }
  }
  return function find(path): Place {
    return places.get(nameOf(path)) ?? (path.length > 0 ? find(path.slice(0, -1)) : { key: 0, value: 0 });
  };
}

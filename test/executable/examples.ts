import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

// What commands say is kept in folder `examples`, to be looked at: EXAMPLES_WRITE=1 makes it anew.

/** What a command said, with names of links that are those of no run, and what is kept of it. */
export function example(file: string, text: string): { said: string; kept: string } {
  const path = join(import.meta.dirname, "examples", file);
  const said = text.replaceAll(/veth[0-9a-f]{8,11}/g, ({ length }) => "veth01234567890".slice(0, length));
  if (process.env.EXAMPLES_WRITE === "1") writeFileSync(path, said);
  return { said, kept: readFileSync(path, "utf8") };
}

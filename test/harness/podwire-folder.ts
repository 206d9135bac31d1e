import { mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pluginNames } from "../../src/plugins/registry.ts";
import { executable } from "./paths.ts";

export { pluginNames };

let links: string | undefined;

/** A folder of links named like the plugins that all lead to podwire, as on a node. */
export function podwireFolder(): string {
  if (links !== undefined) return links;
  links = mkdtempSync("/run/podwire-bin-");
  for (const name of [...pluginNames, "podwire"]) symlinkSync(executable, join(links, name));
  return links;
}

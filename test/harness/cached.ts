import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetworkList } from "./chain.ts";
import type { CniResult } from "./invoke.ts";

/** What a runtime knows of an attachment when it writes down the result. */
export interface Remembered {
  containerId: string;
  netns: string;
  ifname?: string;
  args?: Record<string, string>;
  capabilities?: Record<string, unknown>;
  result: CniResult;
}

/** Writes a list's result where libcni keeps it, in the form libcni has (struct cachedInfo in its api.go). */
export function remember(folder: string, list: NetworkList, attachment: Remembered): void {
  const { containerId, netns, ifname = "eth0", args = {}, capabilities, result } = attachment;
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, `${list.name}-${containerId}-${ifname}`),
    JSON.stringify({
      kind: "cniCacheV1",
      containerId,
      config: Buffer.from(JSON.stringify(list)).toString("base64"),
      ifName: ifname,
      networkName: list.name,
      netns,
      cniArgs: Object.entries(args),
      ...(capabilities && { capabilityArgs: capabilities }),
      result,
    }),
    { mode: 0o600 },
  );
}

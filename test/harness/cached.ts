import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Attachment, type NetworkList, runList } from "./chain.ts";
import type { CniResult } from "./invoke.ts";
import type { Node } from "./node.ts";

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

type Run = Parameters<typeof runList>[0];

/** Wires a pod, by podwire unless `run` is another's, and keeps the result as libcni does. */
export async function wireCached(
  node: Node,
  list: NetworkList,
  {
    folder,
    args = "",
    run = async (verb, call) => node.podwire(verb, call),
    ...to
  }: Attachment & { folder: string; args?: string; run?: Run },
): Promise<CniResult> {
  const answer = await runList(async (verb, call) => run(verb, { ...call, args }), "ADD", list, to);
  if (answer.exitCode !== 0) throw new Error(`ADD: exit ${answer.exitCode}: ${answer.stdout} ${answer.stderr}`);
  const netns = typeof to.netns === "string" ? to.netns : to.netns.path;
  const pairs = args === "" ? [] : args.split(";").map((pair) => pair.split("="));
  const named = Object.fromEntries(pairs) as Record<string, string>;
  remember(folder, list, { ...to, netns, args: named, result: answer.result! });
  return answer.result!;
}

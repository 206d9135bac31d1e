import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Answer, Call, CniResult, Verb } from "./invoke.ts";
import { confFolder } from "./paths.ts";

/** A network configuration list; a single configuration is a list of one. */
export interface NetworkList {
  cniVersion: string;
  name: string;
  plugins: (Record<string, unknown> & { type: string })[];
}

/** Reads a file of conf/. */
export function loadConf(file: string): NetworkList {
  const parsed = JSON.parse(readFileSync(join(confFolder, file), "utf8")) as Record<string, unknown>;
  if (Array.isArray(parsed.plugins)) return parsed as unknown as NetworkList;
  const { cniVersion, name, ...plugin } = parsed as { cniVersion: string; name: string; type: string };
  return { cniVersion, name, plugins: [plugin] };
}

export interface Attachment {
  containerId: string;
  netns: Exclude<Call["netns"], undefined>;
  ifname?: string;
  /** arguments by capability; each plugin gets those whose capability it declares */
  capabilities?: Record<string, unknown>;
}

type Run = (verb: Verb, call: Call) => Promise<Answer>;

/**
 * Executes one verb for every plugin of a list, as libcni does: ADD and CHECK in order, each with the result so far,
 * DEL backwards with the final result from 0.4.0 on. Ends at the first failure. Returns the last plugin's answer.
 */
export async function runList(
  run: Run,
  verb: "ADD" | "CHECK" | "DEL",
  list: NetworkList,
  to: Attachment & { result?: CniResult },
): Promise<Answer> {
  const { cniVersion, name } = list;
  const { capabilities: given = {}, result, ...container } = to;
  let prevResult = verb === "ADD" || (verb === "DEL" && /^0\.[123]\./.test(cniVersion)) ? undefined : result;
  let answer: Answer | undefined;
  for (const plugin of verb === "DEL" ? list.plugins.toReversed() : list.plugins) {
    const { capabilities = {} } = plugin as { capabilities?: Record<string, boolean> };
    const known = Object.entries(given).filter(([capability]) => capabilities[capability]);
    const runtimeConfig = known.length > 0 ? { runtimeConfig: Object.fromEntries(known) } : {};
    const config = { ...plugin, cniVersion, name, ...runtimeConfig, ...(prevResult && { prevResult }) };
    answer = await run(verb, { plugin: plugin.type, config, ...container });
    if (answer.exitCode !== 0) return answer;
    if (verb === "ADD") prevResult = answer.result;
  }
  return answer!;
}

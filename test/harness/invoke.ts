import { join } from "node:path";
import type { Namespace, Outcome } from "./namespace.ts";

export type Verb = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** What a runtime gives a plugin. What is absent is not set at all, except as noted. */
export interface Call {
  plugin: string;
  /** configuration: an object is printed as JSON, a string is sent as it is */
  config?: object | string;
  containerId?: string;
  /** eth0 when absent, for the verbs that have one; empty string: not set */
  ifname?: string;
  /** a path, or the namespace whose path it is */
  netns?: string | Namespace;
  /** CNI_ARGS */
  args?: string;
  /** CNI_PATH; the folder of the binary that is run when absent */
  path?: string;
  /** further variables, or other values for those above */
  env?: Record<string, string>;
  timeoutMs?: number;
}

/** A result as printed; the shape depends on the configuration's version. */
export interface CniResult {
  cniVersion: string;
  interfaces?: { name: string; mac?: string; mtu?: number; sandbox?: string }[];
  ips?: { version?: string; address: string; gateway?: string; interface?: number }[];
  ip4?: { ip: string; gateway?: string; routes?: { dst: string; gw?: string }[] };
  ip6?: { ip: string; gateway?: string; routes?: { dst: string; gw?: string }[] };
  routes?: { dst: string; gw?: string; [key: string]: unknown }[];
  dns?: { nameservers?: string[]; domain?: string; search?: string[]; options?: string[] };
  [key: string]: unknown;
}

export interface CniErrorText {
  cniVersion?: string;
  code: number;
  msg: string;
  details?: string;
}

export interface Answer extends Outcome {
  /** stdout parsed, after exit 0 with something on it */
  result?: CniResult;
  /** stdout parsed, after any other exit */
  error?: CniErrorText;
  durationMs: number;
}

/**
 * Executes a plugin in the node's namespace as a runtime would: exactly the variables given, the configuration on
 * stdin.
 */
export async function invoke(node: Namespace, folder: string, verb: Verb | "", call: Call): Promise<Answer> {
  const started = process.hrtime.bigint();
  const input =
    typeof call.config === "string" ? call.config : call.config === undefined ? "" : JSON.stringify(call.config);
  const outcome = await node.run(join(folder, call.plugin), [], {
    env: environment(folder, verb, call),
    input,
    ...(call.timeoutMs !== undefined && { timeoutMs: call.timeoutMs }),
  });
  const answer: Answer = { ...outcome, durationMs: Number(process.hrtime.bigint() - started) / 1e6 };
  const parsed = parse(outcome.stdout);
  if (parsed === undefined) return answer;
  return outcome.exitCode === 0
    ? { ...answer, result: parsed as CniResult }
    : { ...answer, error: parsed as CniErrorText };
}

/** The variables of one call. */
export function environment(folder: string, verb: Verb | "", call: Call): Record<string, string> {
  const netns = typeof call.netns === "object" ? call.netns.path : call.netns;
  const perContainer = verb === "ADD" || verb === "DEL" || verb === "CHECK";
  const ifname = call.ifname ?? (perContainer ? "eth0" : undefined);
  return {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    ...(verb && { CNI_COMMAND: verb }),
    ...(call.containerId !== undefined && { CNI_CONTAINERID: call.containerId }),
    ...(netns !== undefined && { CNI_NETNS: netns }),
    ...(ifname && { CNI_IFNAME: ifname }),
    ...(call.args !== undefined && { CNI_ARGS: call.args }),
    ...(verb !== "VERSION" && { CNI_PATH: call.path ?? folder }),
    ...call.env,
  };
}

function parse(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`a plugin printed what is not one JSON document: ${text}`, { cause });
  }
}

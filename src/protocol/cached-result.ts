import { decodeBase64, decodeUtf8 } from "../net/bytes.ts";
import type { Invocation, JsonObject } from "../cni/invocation.ts";
import { tryJson } from "../cni/json.ts";
import { type PodName, podNameOf } from "../cni/pod-name.ts";
import { parseLeniently } from "../cni/reading.ts";
import { anything, isObject, list, map, optional, orElse, shape, text } from "../cni/schema.ts";

/** An attachment as the runtime's library remembers it: all that CHECK needs, for every plugin of the list. */
export interface CachedAttachment {
  owner: Pick<Invocation, "network" | "containerId" | "ifname">;
  netns: string;
  /** CNI_ARGS as the runtime gave them */
  args: string;
  pod?: PodName;
  cniVersion: string;
  /** the configurations of the list, in order, each as the file has it */
  plugins: readonly JsonObject[];
  /** the runtime's arguments by capability */
  capabilityArgs: JsonObject;
  /** the list's result, as the last plugin printed it */
  result: unknown;
  file: string;
}

const words = orElse(text(), "");
/** struct cachedInfo of libcni (libcni/api.go) */
const entry = shape({
  kind: words,
  containerId: words,
  config: words,
  ifName: words,
  networkName: words,
  netns: words,
  cniArgs: orElse(list(list(text())), []),
  capabilityArgs: orElse(map(anything()), {}),
  result: optional(anything()),
});

/** A list of configurations, taken apart. */
export type Configuration = Pick<CachedAttachment, "cniVersion" | "plugins">;

/** What a file of the folder says, or why it says nothing. */
export function decodeCached(
  json: string,
  file: string,
  configurationOf: (config: string) => Configuration | undefined = decodeConfiguration,
): CachedAttachment | string {
  const parsed = tryJson(json);
  if (!isObject(parsed)) return "it is no JSON object";
  const { value } = parseLeniently(entry, parsed);
  const { kind, containerId, config, ifName, networkName, netns, cniArgs, capabilityArgs, result } = value;
  if (kind !== "cniCacheV1") return `its kind is ${JSON.stringify(kind)}, not "cniCacheV1"`;
  if (!containerId || !ifName || !networkName || result === undefined) return "it names no attachment and its result";
  const configuration = configurationOf(config);
  if (!configuration) return "its configuration cannot be read";
  const args = cniArgs.map((pair) => pair.join("=")).join(";");
  const pod = podNameOf(args);
  return {
    owner: { network: networkName, containerId, ifname: ifName },
    netns,
    args,
    ...(pod && { pod }),
    ...configuration,
    capabilityArgs,
    result,
    file,
  };
}

/** A list has its plugins in `plugins`; a single plugin's configuration is its own. */
export function decodeConfiguration(config: string): Configuration | undefined {
  const bytes = decodeBase64(config);
  const json = bytes && tryJson(decodeUtf8(bytes));
  if (!isObject(json)) return undefined;
  const { plugins } = json;
  const cniVersion = typeof json["cniVersion"] === "string" ? json["cniVersion"] : "";
  return { cniVersion, plugins: (Array.isArray(plugins) ? plugins : [json]).filter(isObject) };
}

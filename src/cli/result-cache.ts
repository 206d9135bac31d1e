import { tryJson } from "../cni/json.ts";
import { isObject } from "../cni/schema.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { ensureDirectory, findText, removeFile, writeFile } from "../kernel/file.ts";
import { encodeBase64 } from "../net/bytes.ts";
import { listCached } from "../node/cached-results.ts";
import { type CachedAttachment, decodeCached } from "../protocol/cached-result.ts";

// What libcni keeps of every attachment (v1.3.0, api.go: cachedInfo): it and podwire can go on from one another.

/** Where libcni keeps its files. */
export const DEFAULT_CACHE_DIR = "/var/lib/cni";

/** Who an attachment is: the name of its file. */
export interface Attached {
  network: string;
  containerId: string;
  ifname: string;
}

/** What ADD was told, and its result as the last plugin printed it. */
export interface Cached extends Attached {
  netns: string;
  args: [string, string][];
  capabilities: JsonObject;
  result: JsonObject | undefined;
}

const KIND = "cniCacheV1";

const folderOf = (cacheDir: string): string => `${cacheDir}/results`;
const pathOf = (cacheDir: string, { network, containerId, ifname }: Attached): string =>
  `${folderOf(cacheDir)}/${network}-${containerId}-${ifname}`;

const unlessEmpty = <T extends object>(value: T): T | undefined => (Object.keys(value).length > 0 ? value : undefined);

/** Keeps an attachment; `config` is the list's file, byte for byte. */
export function keepResult(cacheDir: string, cached: Cached, config: Uint8Array): void {
  ensureDirectory(folderOf(cacheDir), 0o700);
  const { network, containerId, ifname, netns, args, capabilities, result } = cached;
  const written = {
    kind: KIND,
    containerId,
    config: encodeBase64(config),
    ifName: ifname,
    networkName: network,
    netns,
    cniArgs: unlessEmpty(args),
    capabilityArgs: unlessEmpty(capabilities),
    result,
  };
  writeFile(pathOf(cacheDir, cached), JSON.stringify(written), 0o600);
}

/** What is known of an attachment; undefined where nothing is, or nothing that can be read. */
export function findResult(cacheDir: string, attached: Attached): Cached | undefined {
  const file = pathOf(cacheDir, attached);
  const text = findText(file) ?? "";
  const found = decodeCached(text, file);
  if (typeof found !== "string") return toCached(found);
  // what libcni wrote before 0.8 is the result alone
  const json = tryJson(text);
  return isObject(json) && json["kind"] === undefined
    ? { ...attached, netns: "", args: [], capabilities: {}, result: json }
    : undefined;
}

const toCached = ({ owner, netns, args, capabilityArgs, result }: CachedAttachment): Cached => ({
  ...owner,
  netns,
  args: args === "" ? [] : args.split(";").map((pair) => pair.split("=") as [string, string]),
  capabilities: capabilityArgs,
  result: isObject(result) ? result : undefined,
});

export const forgetResult = (cacheDir: string, attached: Attached): boolean => removeFile(pathOf(cacheDir, attached));

/** Every attachment of a network that is kept. */
export const listResults = (cacheDir: string, network: string): Cached[] =>
  listCached(folderOf(cacheDir))
    .cached.map(toCached)
    .filter((cached) => cached.network === network)
    .toSorted((a, b) => (pathOf(cacheDir, a) < pathOf(cacheDir, b) ? -1 : 1));

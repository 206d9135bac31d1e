import { tryJson } from "../cni/json.ts";
import { isObject } from "../cni/schema.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { ensureDirectory, findText, namesIn, removeFile, writeFile } from "../kernel/file.ts";
import { encodeBase64 } from "../net/base64.ts";

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
  const json = tryJson(findText(pathOf(cacheDir, attached)) ?? "");
  if (!isObject(json)) return undefined;
  if (json["kind"] === KIND) return decode(json);
  // what libcni wrote before 0.8 is the result alone
  return { ...attached, netns: "", args: [], capabilities: {}, result: json };
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

const decode = (json: JsonObject): Cached => ({
  network: textOf(json["networkName"]),
  containerId: textOf(json["containerId"]),
  ifname: textOf(json["ifName"]),
  netns: textOf(json["netns"]),
  args: (Array.isArray(json["cniArgs"]) ? json["cniArgs"] : []) as [string, string][],
  capabilities: isObject(json["capabilityArgs"]) ? json["capabilityArgs"] : {},
  result: isObject(json["result"]) ? json["result"] : undefined,
});

export const forgetResult = (cacheDir: string, attached: Attached): boolean => removeFile(pathOf(cacheDir, attached));

/** Every attachment of a network that is kept. */
export const listResults = (cacheDir: string, network: string): Cached[] =>
  namesIn(folderOf(cacheDir))
    .toSorted()
    .flatMap((name) => {
      const json = tryJson(findText(`${folderOf(cacheDir)}/${name}`) ?? "");
      return isObject(json) && json["kind"] === KIND ? decode(json) : [];
    })
    .filter((cached) => cached.network === network && cached.containerId !== "" && cached.ifname !== "");

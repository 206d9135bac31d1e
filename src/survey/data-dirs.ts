import { isObject } from "../cni/schema.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { DEFAULT_DATA_DIR, parseLeaseFolder } from "../ipam/config.ts";
import { findStat } from "../kernel/file.ts";
import { S_IFDIR } from "../kernel/linux.ts";
import type { CachedAttachment } from "../protocol/cached-result.ts";
import type { NetworkFile } from "./networks.ts";

/** Where leases are by default, and where kind has them. */
const USUAL: readonly string[] = [DEFAULT_DATA_DIR, "/run/cni-ipam-state"];

/** Every folder of leases this node is known to have: the usual ones, and those that configurations name. */
export function knownDataDirs(
  files: readonly Pick<NetworkFile, "name" | "plugins">[],
  cached: readonly Pick<CachedAttachment, "owner" | "plugins">[],
): string[] {
  const lists = new Set([...files.map(({ plugins }) => plugins), ...cached.map(({ plugins }) => plugins)]);
  const named = [...lists].flat().filter(hasDataDir).map(dataDirOf);
  return [...new Set([...USUAL, ...named])].filter((path) => findStat(path)?.type === S_IFDIR);
}

const hasDataDir = ({ ipam }: JsonObject): boolean => isObject(ipam) && typeof ipam["dataDir"] === "string";
const dataDirOf = (config: JsonObject): string => parseLeaseFolder({ config, network: "any" }).dataDir;

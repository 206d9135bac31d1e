import { isObject } from "../cni/schema.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { parseLeaseFolder } from "../ipam/config.ts";
import { findStat } from "../kernel/file.ts";
import { S_IFDIR } from "../kernel/linux.ts";
import type { CachedAttachment } from "../protocol/cached-result.ts";
import { listCached } from "../node/cached-results.ts";
import { type NetworkFile, readNetworkFiles } from "./networks.ts";
import { CONF_DIRS, DATA_DIRS, RESULTS_FOLDER } from "./places.ts";

/** Every folder of leases this node is known to have: the usual ones, and those that configurations name. */
export function knownDataDirs(
  files: readonly Pick<NetworkFile, "name" | "plugins">[],
  cached: readonly Pick<CachedAttachment, "owner" | "plugins">[],
): string[] {
  const lists = new Set([...files.map(({ plugins }) => plugins), ...cached.map(({ plugins }) => plugins)]);
  const named = [...lists].flat().filter(hasDataDir).map(dataDirOf);
  return [...new Set([...DATA_DIRS, ...named])].filter((path) => findStat(path)?.type === S_IFDIR);
}

const hasDataDir = ({ ipam }: JsonObject): boolean => isObject(ipam) && typeof ipam["dataDir"] === "string";
const dataDirOf = (config: JsonObject): string => parseLeaseFolder({ config, network: "any" }).dataDir;

/** As `knownDataDirs`, by what is in the usual places of configurations (or in one folder) and of results. */
export const findDataDirs = (confDir?: string): string[] =>
  knownDataDirs(
    (confDir === undefined ? CONF_DIRS : [confDir]).flatMap((folder) => readNetworkFiles(folder).files),
    listCached(RESULTS_FOLDER).cached,
  );

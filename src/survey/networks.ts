import { CniError, messageOf } from "../cni/error.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { isObject } from "../cni/schema.ts";
import { type HostLocalConfig, isHostLocal, parseIpamConfig } from "../ipam/config.ts";
import { namesIn, readText } from "../kernel/file.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { findPlugin } from "../plugins/registry.ts";
import { parseDocument } from "../protocol/config.ts";
import { ownCall } from "./own-call.ts";

/** A file of a folder of configurations, taken apart. */
export interface NetworkFile {
  folder: string;
  file: string;
  name: string;
  cniVersion: string;
  plugins: readonly JsonObject[];
}

/** A network of this node's configurations whose addresses host-local hands out. */
export interface Network {
  name: string;
  file: string;
  config: HostLocalConfig;
}

/** The configurations of a folder in the order in which runtimes take them, and what is wrong with files there. */
export function readNetworkFiles(folder: string): { files: NetworkFile[]; problems: string[] } {
  const files: NetworkFile[] = [];
  const problems: string[] = [];
  for (const file of namesIn(folder).toSorted()) {
    if (!/\.(conflist|conf|json)$/.test(file)) continue;
    explaining(`${folder}/${file}`, problems, () => {
      const json = parseDocument(encodeUtf8(readText(`${folder}/${file}`)));
      // a configuration list has its plugins in `plugins`; a single plugin's configuration is its own
      const plugins = (Array.isArray(json["plugins"]) ? json["plugins"] : [json]).filter(isObject);
      const text = (key: string): string => (typeof json[key] === "string" ? json[key] : "");
      files.push({ folder, file, name: text("name"), cniVersion: text("cniVersion"), plugins });
    });
  }
  return { files, problems };
}

/** The networks of files whose addresses host-local hands out, and what is wrong with their ranges. */
export function leasingNetworks(files: readonly NetworkFile[]): { networks: Network[]; problems: string[] } {
  const networks: Network[] = [];
  const problems: string[] = [];
  for (const { folder, file, name, cniVersion, plugins } of files) {
    explaining(`${folder}/${file}`, problems, () => {
      for (const plugin of plugins) {
        const written = { cniVersion: cniVersion || "1.0.0", ...plugin };
        const config = wiringConfig(written, name);
        const { ipam } = config;
        if (!isObject(ipam) || !isHostLocal(ipam["type"])) continue;
        networks.push({
          name,
          file,
          config: parseIpamConfig({ config, network: name, args: "", verb: "CHECK" }),
        });
      }
    });
  }
  return { networks, problems };
}

/** What wires the pods: a delegate is told its ranges by the node; where that cannot be said, STATUS says why. */
function wiringConfig(config: JsonObject & { cniVersion: string }, network: string): JsonObject {
  const plugin = findPlugin(String(config["type"]));
  if (!plugin?.delegated) return config;
  try {
    return plugin.delegated(ownCall("STATUS", { config, network, cniVersion: config.cniVersion }))?.call.config ?? {};
  } catch (error) {
    if (error instanceof CniError) return {};
    throw error;
  }
}

function explaining(file: string, problems: string[], work: () => void): void {
  try {
    work();
  } catch (error) {
    const details = error instanceof CniError && error.details ? `: ${error.details}` : "";
    problems.push(`${file}: ${messageOf(error)}${details}`);
  }
}

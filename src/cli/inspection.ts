import { formatPath } from "../cni/complaint.ts";
import type { Invocation, JsonObject } from "../cni/invocation.ts";
import { findUnknownKeys } from "../cni/known-keys.ts";
import { type Log, quietLog } from "../cni/log.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { findPlugin } from "../plugins/registry.ts";
import { hasCapability } from "../protocol/capabilities.ts";
import { parseBase } from "../protocol/config.ts";
import { ownCall } from "../survey/own-call.ts";
import { type ListedPlugin, type NetworkList, type Problem, problemsOf, unknownKey } from "./network-list.ts";

/** A plugin's configuration as it is given to it. */
const configFor = ({ name, cniVersion }: NetworkList, { config }: ListedPlugin): JsonObject => ({
  ...config,
  name: name || "network",
  cniVersion,
});

/** A call of a verb that is about no container: what is read is the configuration. */
export const statusCall = (list: NetworkList, plugin: ListedPlugin, log: Log): Invocation => {
  const config = configFor(list, plugin);
  return ownCall("STATUS", {
    stdin: encodeUtf8(JSON.stringify(config)),
    config,
    network: String(config["name"]),
    cniVersion: list.cniVersion,
    log,
  });
};

/**
 * What podwire would complain about in the configuration of a plugin it is; nothing where it is not. `isFollowing`:
 * others come before the list.
 */
export function inspectPlugin(list: NetworkList, plugin: ListedPlugin, isFollowing: boolean): Problem[] {
  const { path, config } = plugin;
  const known = findPlugin(String(config["type"]));
  if (!known) return [];
  const isFirst = !isFollowing && plugin === list.plugins[0] && config["prevResult"] === undefined;
  const log = quietLog();
  const call = statusCall(list, plugin, log);
  return [
    ...problemsOf(path, () => parseBase(call.config, "ADD", log)),
    ...problemsOf(path, () => known.inspect(call)).filter((problem) => !comesLater(config, problem)),
    ...(known.isChained && isFirst ? [notFirst(plugin)] : []),
    ...withoutMappings(plugin),
    ...findUnknownKeys(known.known(config), config).map((key) => unknownKey([...path, ...key.path], key.meant)),
  ];
}

/** A runtime that knows the capability gives the ranges. */
const comesLater = (config: JsonObject, { text }: Problem): boolean =>
  hasCapability(config, "ipRanges") && text.includes("no IP ranges specified");

const notFirst = ({ path, config }: ListedPlugin): Problem => ({
  path,
  text:
    `${formatPath([...path, "type"])} is "${String(config["type"])}", which goes on from what an earlier plugin ` +
    "of a list made, so it cannot be the first",
});

const withoutMappings = ({ path, config }: ListedPlugin): Problem[] =>
  config["type"] !== "portmap" || hasCapability(config, "portMappings")
    ? []
    : [
        {
          path,
          text:
            `${formatPath([...path, "capabilities"])} has no portMappings that is true: ` +
            "no runtime tells portmap which ports to map",
          isWarning: true,
        },
      ];

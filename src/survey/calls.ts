import type { HostView } from "../attachment/host-view.ts";
import { CniError, messageOf } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Dns } from "../cni/result.ts";
import { parseVersion } from "../cni/versions.ts";
import type { CachedAttachment } from "../protocol/cached-result.ts";
import { findPartsPlugin, findPlugin } from "../plugins/registry.ts";
import { argumentsFor } from "../protocol/capabilities.ts";
import { decodePrevResult } from "../protocol/result-shapes.ts";
import { ownCall } from "./own-call.ts";
import { BIN_DIRS } from "./places.ts";
import type { Expected } from "../verbs/check.ts";

/** One plugin of an attachment's list, and the CHECK a runtime would make of it. */
export interface PluginCall {
  type: string;
  call: Invocation;
}

/**
 * The calls of CHECK for an attachment that a runtime remembers, in the order of its list, whatever verbs its version
 * has; CniError where the result cannot be read.
 */
function checkCalls(cached: CachedAttachment, binDirs: readonly string[] = BIN_DIRS): PluginCall[] {
  const { owner, netns, args, plugins, capabilityArgs, result } = cached;
  const cniVersion = parseVersion(cached.cniVersion);
  const prevResult = decodePrevResult(result, cniVersion);
  return plugins.map((plugin) => {
    const runtimeConfig = argumentsFor(plugin, capabilityArgs);
    return {
      type: String(plugin["type"] ?? ""),
      call: ownCall("CHECK", {
        ...owner,
        netns,
        args: [args, "IgnoreUnknown=1"].filter(Boolean).join(";"), // what they ask for is in the result
        path: binDirs.join(":"),
        config: { ...plugin, name: owner.network, cniVersion, ...(runtimeConfig && { runtimeConfig }) },
        cniVersion,
        prevResult,
      }),
    };
  });
}

/** What the plugins of the list reported of DNS; undefined where the result cannot be read. */
export function reportedDns({ result, cniVersion }: CachedAttachment): Dns | undefined {
  try {
    return decodePrevResult(result, parseVersion(cniVersion)).dns;
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

/** What became of looking at one plugin's share of an attachment. */
export interface Visited {
  type: string;
  /** why it could not be looked at, in words; absent where `visit` ran */
  problem?: string;
  /** the plugin is somebody else's: nothing is known of what it made */
  isForeign?: boolean;
}

/**
 * Runs `visit` with what each plugin of the list should have made of the attachment, its site open meanwhile: to
 * compare it (doctor) or to mend it (repair).
 */
export function visitExpected(
  cached: CachedAttachment,
  visit: (expected: Expected, type: string) => void,
  { binDirs = BIN_DIRS, view }: { binDirs?: readonly string[]; view?: HostView } = {},
): Visited[] {
  return explaining(() => checkCalls(cached, binDirs)).flatMap((each) => {
    if ("problem" in each) return [each];
    const { type } = each;
    return explaining(() => {
      const { type: wiring, call } = findPlugin(type)?.delegated?.(each.call) ?? each;
      const plugin = findPartsPlugin(wiring);
      if (!plugin) return [{ type, isForeign: true }];
      plugin.expecting(call, (expected) => visit(expected, type), view);
      return [{ type }];
    }).map((visited) => ({ ...visited, type }));
  });
}

function explaining<T>(look: () => T[]): (T | { type: string; problem: string })[] {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    return [{ type: "", problem: messageOf(error) }];
  }
}

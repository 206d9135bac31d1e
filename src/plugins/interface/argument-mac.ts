import { readArguments } from "../../cni/arguments.ts";
import { show } from "../../cni/complaint.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { type Idle, readConfig } from "../../cni/reading.ts";
import type { Schema } from "../../cni/schema.ts";
import { OWN_MAC, parseOwnMac } from "../../net/mac.ts";

/** What CNI_ARGS says of the pod's MAC. */
export interface ArgumentMac {
  argumentMac?: string;
}

/** CNI_ARGS among the places a MAC is asked for in. */
export const CNI_ARGS = "CNI_ARGS";
/** `wantedMac`'s, as `readWithMac` takes them. */
export const MAC_PLACES = ["runtimeConfig.mac", CNI_ARGS, "mac"];

/** The MAC asked for: runtimeConfig beats CNI_ARGS beats the configuration. */
export const wantedMac = (
  config: ArgumentMac & { mac?: string; runtimeConfig?: { mac?: string } },
): string | undefined => config.runtimeConfig?.mac ?? config.argumentMac ?? config.mac;

const valueAt = (config: unknown, path: string): unknown =>
  path.split(".").reduce<unknown>((held, key) => (held as Record<string, unknown> | undefined)?.[key], config);

/**
 * A configuration with CNI_ARGS' MAC. `places` are those a MAC is asked for in, the one that is heard first before the
 * others; those behind it need not be right. `idle` is `readConfig`'s.
 */
export function readWithMac<T>(
  schema: Schema<T>,
  call: Invocation,
  places: readonly string[],
  idle?: Idle<NoInfer<T>>,
): T & ArgumentMac {
  const behind = (config: T): readonly string[] => {
    const isAsked = (place: string): boolean =>
      place === CNI_ARGS ? Boolean(readArguments(call, ["MAC"]).MAC) : valueAt(config, place) !== undefined;
    const first = places.findIndex(isAsked);
    return first === -1 ? [] : places.slice(first + 1);
  };
  const config = readConfig(schema, call, {
    may: [...places, ...(idle?.may ?? [])],
    are: (read) => [...behind(read), ...(idle?.are(read) ?? [])],
  });
  return { ...config, ...readArgumentMac(call, !behind(config).includes(CNI_ARGS)) };
}

/**
 * `MAC` of CNI_ARGS as canonical text; CniError 4 for one no link can have, where it counts: DEL and GC pass over it.
 */
function readArgumentMac(call: Invocation, counts: boolean): ArgumentMac {
  const { MAC = "" } = readArguments(call, ["MAC"]);
  if (MAC === "" || !counts) return {};
  const parsed = parseOwnMac(MAC);
  if (!parsed && call.verb !== "DEL" && call.verb !== "GC") {
    throw new CniError(Code.InvalidEnvironment, `invalid CNI_ARGS: MAC is ${show(MAC)}, must be ${OWN_MAC}`);
  }
  return parsed ? { argumentMac: parsed } : {};
}

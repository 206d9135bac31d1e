import { readArguments } from "../../cni/arguments.ts";
import { show } from "../../cni/complaint.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { OWN_MAC, parseOwnMac } from "../../net/mac.ts";

/** What CNI_ARGS says of the pod's MAC. */
export interface ArgumentMac {
  argumentMac?: string;
}

/** The MAC asked for: runtimeConfig beats CNI_ARGS beats the configuration. */
export const wantedMac = (
  config: ArgumentMac & { mac?: string; runtimeConfig?: { mac?: string } },
): string | undefined => config.runtimeConfig?.mac ?? config.argumentMac ?? config.mac;

/** `MAC` of CNI_ARGS as canonical text; CniError 4 for one no link can have, but DEL and GC pass over it. */
export function readArgumentMac(call: Invocation): ArgumentMac {
  const { MAC = "" } = readArguments(call, ["MAC"]);
  if (MAC === "") return {};
  const parsed = parseOwnMac(MAC);
  if (!parsed && call.verb !== "DEL" && call.verb !== "GC") {
    throw new CniError(Code.InvalidEnvironment, `invalid CNI_ARGS: MAC is ${show(MAC)}, must be ${OWN_MAC}`);
  }
  return parsed ? { argumentMac: parsed } : {};
}

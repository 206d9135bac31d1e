import type { JsonObject } from "../cni/invocation.ts";
import { isObject } from "../cni/schema.ts";

/** True where a plugin's configuration asks the runtime for the argument of a capability (CNI's CONVENTIONS.md). */
export const hasCapability = ({ capabilities }: JsonObject, name: string): boolean =>
  isObject(capabilities) && capabilities[name] === true;

/** Of a runtime's arguments by capability those the plugin asks for: its `runtimeConfig`; undefined for none. */
export function argumentsFor(config: JsonObject, capabilityArgs: JsonObject): JsonObject | undefined {
  const heard = Object.entries(capabilityArgs).filter(([name]) => hasCapability(config, name));
  return heard.length > 0 ? Object.fromEntries(heard) : undefined;
}

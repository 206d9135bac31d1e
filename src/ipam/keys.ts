import type { JsonObject, Known } from "../cni/invocation.ts";
import { knownBy } from "../cni/known-keys.ts";
import { anything, isObject, optional, orElse, type Schema, shape, text } from "../cni/schema.ts";
import { folderSchema, ipamSchema } from "./config.ts";
import { dhcpSchema } from "./dhcp-config.ts";
import { staticSchema } from "./static-config.ts";

const typeAlone = shape({ ipam: optional(shape({ type: orElse(text(), "") })) });

function keysOf(...schemas: Schema[]): Known {
  const known = knownBy([typeAlone, ...schemas]);
  return known === "anything" ? known : known.names.get("ipam")!;
}

const hostLocal = keysOf(ipamSchema);
// they have no leases of their own there, but podwire's record of the attachment is
const byType: Readonly<Record<string, Known>> = {
  "host-local": hostLocal,
  podwire: hostLocal,
  static: keysOf(staticSchema, folderSchema),
  dhcp: keysOf(dhcpSchema, folderSchema),
};

const firsts = new Map(Object.entries(byType).map(([type, known]) => [type, new Map([["ipam", known]])]));

/** What a delegate reads of `ipam` is not known here. */
export const delegatedIpam = shape({ ipam: optional(anything()) });

/** What is known of a configuration, with what the IPAM plugin it names reads of `ipam`, if that is one of ours. */
export function withIpam(known: Known, { ipam }: JsonObject): Known {
  const type = isObject(ipam) ? ipam["type"] : undefined;
  const first = typeof type === "string" ? firsts.get(type) : undefined;
  return known === "anything" || !first ? known : { ...known, first };
}

/** What an IPAM plugin reads by itself: it is handed the configuration of a main plugin, whose keys are not its own. */
export const knownToIpam = (name: "host-local" | "static" | "dhcp"): Known => ({
  names: firsts.get(name)!,
  every: "anything",
});

import type { VrfPart } from "../../attachment/attachment.ts";
import { readConfig } from "../../cni/reading.ts";
import { type Infer, integer, optionalOrEmpty, orElse, shape, text } from "../../cni/schema.ts";
import { isNewLinkName, newLinkNameRule } from "../../net/link-name.ts";
import type { ChainedPlugin } from "../../verbs/plan.ts";

/** linux/rtnetlink.h: RT_TABLE_DEFAULT, RT_TABLE_MAIN and RT_TABLE_LOCAL */
const reserved = [253, 254, 255];

const vrfFields = {
  vrfname: optionalOrEmpty(text(newLinkNameRule, isNewLinkName)),
  table: orElse(integer(0, 0xffff_ffff), 0),
};
/** DEL of what has no name is nothing. */
const removedConfig = shape(vrfFields);
const vrfConfig = shape(vrfFields, ({ vrfname, table }) => [
  ...(vrfname === undefined ? [{ at: "vrfname", must: "must be there: the name of the VRF" }] : []),
  ...(reserved.includes(table)
    ? [{ at: "table", must: "must not be 253 to 255: those are the tables default, main and local" }]
    : []),
]);

type VrfConfig = Infer<typeof vrfConfig>;

const planVrf = ({ vrfname, table }: VrfConfig): VrfPart[] =>
  vrfname === undefined ? [] : [{ kind: "vrf", name: vrfname, ...(table > 0 && { table }) }];

/** Puts the interface another plugin made into a VRF of the pod: its routes are in a table of their own. */
export const vrf: ChainedPlugin<VrfConfig> = {
  name: "vrf",
  kinds: ["vrf"],
  optional: [],
  schema: vrfConfig,
  read: (call) => readConfig(call.verb === "DEL" || call.verb === "GC" ? removedConfig : vrfConfig, call),
  asked: planVrf,
  parts: planVrf,
};

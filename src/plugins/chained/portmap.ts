import { readConfig } from "../../cni/reading.ts";
import { optional, shape } from "../../cni/schema.ts";
import type { ChainedPlugin } from "../../verbs/plan.ts";
import {
  planPorts,
  type PortMappingConfig,
  portMappingComplaints,
  portMappingFields,
  portMappingList,
} from "../port-mappings.ts";

const portmapConfig = shape(
  { ...portMappingFields, runtimeConfig: optional(shape({ portMappings: optional(portMappingList) })) },
  portMappingComplaints,
);

/** Leads ports of the node to ports of the container another plugin has wired: the ports part, and nothing else. */
export const portmap: ChainedPlugin<PortMappingConfig> = {
  name: "portmap",
  kinds: [],
  optional: ["ports"],
  schema: portmapConfig,
  read: (call) => readConfig(portmapConfig, call),
  asked: (config) => [planPorts(config, [])],
  parts: (config, ips) => [
    planPorts(
      config,
      ips.map(({ address }) => address),
    ),
  ],
};

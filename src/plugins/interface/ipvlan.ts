import { CniError, Code } from "../../cni/error.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { readConfig } from "../../cni/reading.ts";
import { choice, type Infer, optionalOrEmpty, shape } from "../../cni/schema.ts";
import {
  masterFields,
  planMaster,
  planPodLink,
  podLinkComplaints,
  podLinkFields,
  podLinkPlugin,
} from "./pod-link-plan.ts";

const ipvlanConfig = shape(
  { ...podLinkFields, ...masterFields, mode: optionalOrEmpty(choice("l2", "l3", "l3s")) },
  podLinkComplaints,
);

type IpvlanConfig = Infer<typeof ipvlanConfig>;

function read(call: Invocation): IpvlanConfig {
  const config = readConfig(ipvlanConfig, call);
  const { verb, prevResult } = call;
  if (verb !== "ADD" || config.master !== undefined || !prevResult) return config;
  const [link, ...others] = prevResult.interfaces;
  if (link?.name && others.length === 0) return { ...config, master: link.name };
  throw new CniError(
    Code.InvalidConfig,
    `master is not set, and prevResult has ${prevResult.interfaces.length} interfaces: it must be the name of one`,
  );
}

/** The pod's link shares its master's MAC, and is told apart by its addresses. */
export const ipvlan = podLinkPlugin<IpvlanConfig>({
  name: "ipvlan",
  schema: ipvlanConfig,
  needsIpam: true,
  takesPrevious: true,
  read,
  mac: () => "",
  link: (config) => planPodLink(config, { type: "ipvlan", mode: config.mode ?? "l2" }, planMaster(config)),
});

import { readConfig } from "../../cni/reading.ts";
import { type Infer, integer, orElse, shape } from "../../cni/schema.ts";
import {
  masterFields,
  planMaster,
  planPodLink,
  podLinkComplaints,
  podLinkFields,
  podLinkPlugin,
} from "./pod-link-plan.ts";

const vlanFields = { ...podLinkFields, ...masterFields, vlanId: orElse(integer(0, 4094), 0) };
/** DEL and GC work without the master, too. */
const removedConfig = shape(vlanFields, podLinkComplaints);
const vlanConfig = shape(vlanFields, (config) => [
  ...podLinkComplaints(config),
  ...(config.master === undefined ? [{ at: "master", must: "must be there: the link whose VLAN it is" }] : []),
]);

type VlanConfig = Infer<typeof vlanConfig>;

/** The pod's link is the one of a VLAN of the master: what it sends has that VLAN's tag on the master's network. */
export const vlan = podLinkPlugin<VlanConfig>({
  name: "vlan",
  schema: vlanConfig,
  needsIpam: true,
  read: (call) => readConfig(call.verb === "DEL" || call.verb === "GC" ? removedConfig : vlanConfig, call),
  mac: () => "",
  link: (config) => planPodLink(config, { type: "vlan", vlanId: config.vlanId }, planMaster(config)),
});

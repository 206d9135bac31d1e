import type { PodLinkPart } from "../../attachment/attachment.ts";
import { readConfig } from "../../cni/reading.ts";
import { type Infer, integer, orElse, shape } from "../../cni/schema.ts";
import type { InterfacePlugin } from "../../verbs/plan.ts";
import {
  masterFields,
  planInPod,
  planMaster,
  planPodLink,
  podInterface,
  podLinkComplaints,
  podLinkFields,
} from "./pod-link-plan.ts";

const vlanFields = { ...podLinkFields, ...masterFields, vlanId: orElse(integer(0, 4094), 0) };
/** DEL and GC work without the master, too. */
const removedConfig = shape(vlanFields, podLinkComplaints);
const vlanConfig = shape(vlanFields, (config) => [
  ...podLinkComplaints(config),
  ...(config.master === undefined ? [{ at: "master", must: "must be there: the link whose VLAN it is" }] : []),
]);

type VlanConfig = Infer<typeof vlanConfig>;

const planVlan = (config: VlanConfig): Omit<PodLinkPart, "link"> =>
  planPodLink(config, { type: "vlan", vlanId: config.vlanId }, planMaster(config));

/** The pod's link is the one of a VLAN of the master: what it sends has that VLAN's tag on the master's network. */
export const vlan: InterfacePlugin<VlanConfig> = {
  name: "vlan",
  kinds: ["podLink", "pod"],
  optional: [],
  schema: vlanConfig,
  needsIpam: true,
  read: (call) => readConfig(call.verb === "DEL" || call.verb === "GC" ? removedConfig : vlanConfig, call),
  mac: () => "",
  asked: (config) => [{ ...planVlan(config), link: { name: "" } }],
  plan: (config, subject, lease) => planInPod(config, subject, lease, planVlan(config)),
  interfaces: podInterface,
};

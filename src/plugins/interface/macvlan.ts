import { mac } from "../../cni/fields.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { choice, type Infer, integer, optional, optionalOrEmpty, orElse, shape } from "../../cni/schema.ts";
import { type ArgumentMac, MAC_PLACES, readWithMac, wantedMac } from "./argument-mac.ts";
import {
  masterFields,
  planMaster,
  planPodLink,
  podLinkComplaints,
  podLinkFields,
  podLinkPlugin,
} from "./pod-link-plan.ts";

const macvlanConfig = shape(
  {
    ...podLinkFields,
    ...masterFields,
    mode: optionalOrEmpty(choice("bridge", "private", "vepa", "passthru")),
    mac: optionalOrEmpty(mac),
    bcqueuelen: orElse(integer(0, 0xffff_ffff), 0),
    runtimeConfig: optional(shape({ mac: optionalOrEmpty(mac) })),
  },
  podLinkComplaints,
);

type MacvlanConfig = Infer<typeof macvlanConfig> & ArgumentMac;

const read = (call: Invocation): MacvlanConfig => {
  const config = readWithMac(macvlanConfig, call, MAC_PLACES);
  const unheeded = call.verb === "ADD" && config.mode === "passthru" ? wantedMac(config) : undefined;
  if (unheeded) call.log.warn(`mac ${unheeded} has no effect: in mode passthru the link has its master's`);
  return config;
};

export const macvlan = podLinkPlugin<MacvlanConfig>({
  name: "macvlan",
  schema: macvlanConfig,
  needsIpam: false,
  read,
  mac: (config) => (config.mode === "passthru" ? "" : wantedMac(config)),
  link(config) {
    const { mode = "bridge", bcqueuelen } = config;
    return planPodLink(config, { type: "macvlan", mode, ...(bcqueuelen > 0 && { bcqueuelen }) }, planMaster(config));
  },
});

import type { PodLinkPart } from "../../attachment/attachment.ts";
import { mac } from "../../cni/fields.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { flag, type Infer, integer, optional, optionalOrEmpty, orElse, shape, text } from "../../cni/schema.ts";
import { isLinkName } from "../../net/link-name.ts";
import { type ArgumentMac, MAC_PLACES, readWithMac, wantedMac } from "./argument-mac.ts";
import { linkMtu } from "./container-plan.ts";
import { planPodLink, podLinkComplaints, podLinkFields, podLinkPlugin } from "./pod-link-plan.ts";

const { ipam, dns } = podLinkFields;
/** 2^32 - 1 means none to the kernel. */
const id = optional(integer(0, 0xffff_fffe));

const tapConfig = shape(
  {
    ipam,
    dns,
    mtu: orElse(linkMtu(65521), 0), // 65535 without the Ethernet header
    multiQueue: flag(),
    mac: optionalOrEmpty(mac),
    args: optional(shape({})), // what the reference reads of them is nothing
    owner: id,
    group: id,
    selinuxContext: optionalOrEmpty(text("an SELinux context", (label) => !/\p{Cc}/u.test(label))),
    bridge: optionalOrEmpty(text("a link name (1 to 15 bytes, no / : or white space)", isLinkName)),
    runtimeConfig: optional(shape({ mac: optionalOrEmpty(mac) })),
  },
  podLinkComplaints,
);

type TapConfig = Infer<typeof tapConfig> & ArgumentMac;

const read = (call: Invocation): TapConfig => readWithMac(tapConfig, call, MAC_PLACES);

function planTap(config: TapConfig): Omit<PodLinkPart, "link"> {
  const { multiQueue, owner, group, bridge, selinuxContext } = config;
  const allowed = { ...(owner !== undefined && { owner }), ...(group !== undefined && { group }) };
  return {
    ...planPodLink(config, { type: "tun", mode: "tap", multiQueue, ...allowed }),
    ...(bridge !== undefined && { bridge }),
    ...(selinuxContext !== undefined && { selinuxContext }),
  };
}

/** A link whose other end is a program, such as a virtual machine: it has no carrier before that runs. */
export const tap = podLinkPlugin<TapConfig>({
  name: "tap",
  schema: tapConfig,
  needsIpam: false,
  read,
  mac: wantedMac,
  link: planTap,
});

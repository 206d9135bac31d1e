import type { PodLinkPart } from "../../attachment/attachment.ts";
import { readConfig } from "../../cni/reading.ts";
import { type Infer, shape } from "../../cni/schema.ts";
import type { InterfacePlugin } from "../../verbs/plan.ts";
import { planInPod, planPodLink, podInterface, podLinkFields } from "./pod-link-plan.ts";

const { ipam, enabledad } = podLinkFields;
const dummyConfig = shape({ ipam, enabledad });

type DummyConfig = Infer<typeof dummyConfig>;

const planDummy = (): Omit<PodLinkPart, "link"> => planPodLink({ mtu: 0 }, { type: "dummy" });

/** A link that leads nowhere: it carries addresses. */
export const dummy: InterfacePlugin<DummyConfig> = {
  name: "dummy",
  kinds: ["podLink", "pod"],
  optional: [],
  schema: dummyConfig,
  needsIpam: true,
  read: (call) => readConfig(dummyConfig, call),
  asked: () => [{ ...planDummy(), link: { name: "" } }],
  plan: (config, subject, lease) => planInPod({ ...config, mtu: 0 }, subject, lease, planDummy()),
  interfaces: podInterface,
};

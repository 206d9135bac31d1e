import { readConfig } from "../../cni/reading.ts";
import { type Infer, shape } from "../../cni/schema.ts";
import { planPodLink, podLinkFields, podLinkPlugin } from "./pod-link-plan.ts";

const { ipam, enabledad } = podLinkFields;
const dummyConfig = shape({ ipam, enabledad });

type DummyConfig = Infer<typeof dummyConfig>;

/** A link that leads nowhere: it carries addresses. */
export const dummy = podLinkPlugin<DummyConfig>({
  name: "dummy",
  schema: dummyConfig,
  needsIpam: true,
  read: (call) => readConfig(dummyConfig, call),
  link: () => planPodLink({ mtu: 0 }, { type: "dummy" }),
});

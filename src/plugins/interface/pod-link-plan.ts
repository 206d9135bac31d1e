import type { Master, Part, PodLinkPart, Sysctl } from "../../attachment/attachment.ts";
import { dns } from "../../cni/fields.ts";
import type { Addressing, ResultInterface, ResultIp } from "../../cni/result.ts";
import { flag, type Infer, optional, optionalOrEmpty, orElse, shape, text } from "../../cni/schema.ts";
import type { Device } from "../../netlink/rtnetlink/device.ts";
import { isLinkName } from "../../net/link-name.ts";
import type { Made } from "../../attachment/attachment.ts";
import type { Invocation } from "../../cni/invocation.ts";
import type { InterfaceConfig, InterfacePlugin, Plan, Subject } from "../../verbs/plan.ts";
import {
  announcing,
  assertCarried,
  familiesOf,
  linkMtu,
  mtuComplaints,
  planAddresses,
  planPod,
  planPodSysctls,
  planRoutes,
} from "./container-plan.ts";

// What the plugins have in common whose link has no end on the host (macvlan and the like).

/** The keys they all read the same way. */
export const podLinkFields = {
  mtu: orElse(linkMtu(), 0),
  enabledad: flag(),
  ipam: optional(shape({ type: orElse(text(), "") })),
  dns: optional(dns),
};

/** The keys of those that are made of another link. */
export const masterFields = {
  master: optionalOrEmpty(text("a link name (1 to 15 bytes, no / : or white space)", isLinkName)),
  linkInContainer: flag(),
};

type PodLinkConfig = Infer<ReturnType<typeof shape<typeof podLinkFields>>>;
type MasterConfig = Infer<ReturnType<typeof shape<typeof masterFields>>>;

export const podLinkComplaints = mtuComplaints;

export const planMaster = ({ master, linkInContainer }: MasterConfig): Master => ({
  ...(master !== undefined && { name: master }),
  inPod: linkInContainer,
});

/** The link before its name and MAC are known: what it is made of, and how. */
export const planPodLink = (
  { mtu }: Pick<PodLinkConfig, "mtu">,
  device: Device,
  master?: Master,
): Omit<PodLinkPart, "link"> => ({ kind: "podLink", device, ...(master && { master }), ...(mtu > 0 && { mtu }) });

/** What tells one plugin whose link is in the pod alone from another. */
interface PodLinkPlugin<C extends InterfaceConfig> extends Pick<
  InterfacePlugin<C>,
  "name" | "schema" | "needsIpam" | "takesPrevious" | "mac"
> {
  read(call: Invocation): C;
  /** the link before its name and MAC are known */
  link(config: C): Omit<PodLinkPart, "link">;
}

/** A plugin from the link it plans. */
export const podLinkPlugin = <C extends InterfaceConfig & Partial<Pick<PodLinkConfig, "mtu" | "enabledad">>>({
  link,
  ...plugin
}: PodLinkPlugin<C>): InterfacePlugin<C> => ({
  ...plugin,
  kinds: ["podLink", "pod"],
  optional: [],
  asked: (config) => [{ ...link(config), link: { name: "" } }],
  plan(config, subject, lease) {
    const { mtu = 0, enabledad = false } = config;
    const { owner, podMac } = subject;
    const named = { name: owner.ifname, ...(podMac && { mac: podMac }) };
    // what prevResult says is what must be there, whatever it was made with
    const { mtu: reported, masterMtu } = subject;
    const part = {
      ...link(config),
      link: named,
      ...(reported && { podMtu: reported }),
      ...(masterMtu && { masterMtu }),
    };
    return planAround(part, { mtu, enabledad }, subject, lease);
  },
  interfaces: podInterface,
});

/** An attachment around a link in the pod alone, as data: the link, and what it carries; a MAC of "" is none. */
export function planAround(
  link: Part,
  config: Pick<PodLinkConfig, "mtu" | "enabledad">,
  { owner, netns, podMac }: Subject,
  lease: Addressing,
): Plan {
  assertCarried(lease.ips, config);
  const ips = lease.ips.map((ip) => ({ ...ip, interface: 0 }));
  const { routes } = lease;
  const parts: Part[] = [
    link,
    planPod(
      { owner, podMac },
      {
        sysctls: planSysctls(owner.ifname, ips, config.enabledad),
        addresses: planAddresses(ips, { dad: config.enabledad }),
        routes: planRoutes(routes, ips),
      },
    ),
  ];
  return { ips, routes, attachment: { owner, netns, parts } };
}

/** On a network of other machines a pod that was given no IPv6 address may have them from that network's routers. */
function planSysctls(ifname: string, ips: ResultIp[], dad: boolean): Sysctl[] {
  if (ips.length === 0) return [];
  return familiesOf(ips).includes(6) ? planPodSysctls(ifname, ips, dad) : announcing(ifname);
}

/** The one interface of their results; as the reference, they say nothing of its MTU. */
const podInterface = ({ attachment: { netns } }: Plan, { pod }: Made): ResultInterface[] => [
  { name: pod!.name, mac: pod!.mac, sandbox: netns },
];

import {
  type BridgePart,
  findPart,
  type GatewaysPart,
  type Made,
  type Part,
  type PortVlans,
} from "../../attachment/attachment.ts";
import { mac } from "../../cni/fields.ts";
import type { Invocation } from "../../cni/invocation.ts";
import type { Addressing, ResultInterface, ResultIp, ResultRoute } from "../../cni/result.ts";
import { flag, type Infer, integer, list, optional, optionalOrEmpty, orElse, shape, text } from "../../cni/schema.ts";
import { addToIp, defaultPrefix, type Ip, isDefault, isUnspecified, networkOf } from "../../net/ip.ts";
import { isLinkName, isNewLinkName, newLinkNameRule } from "../../net/link-name.ts";
import {
  assertCarried,
  containerComplaints,
  containerFields,
  familiesOf,
  idlePorts,
  planAddresses,
  planFirewall,
  planPod,
  planPodSysctls,
  planRoutes,
  planVeth,
} from "./container-plan.ts";
import { type ArgumentMac, CNI_ARGS, readWithMac } from "./argument-mac.ts";
import type { InterfacePlugin, Plan, Subject } from "../../verbs/plan.ts";
import { portMappingList } from "../port-mappings.ts";

const trunk = shape(
  { id: optional(integer(1, 4094)), minID: optional(integer(1, 4094)), maxID: optional(integer(1, 4094)) },
  ({ minID, maxID }) => {
    if ((minID === undefined) !== (maxID === undefined)) {
      return [{ at: minID === undefined ? "minID" : "maxID", must: "must be there: minID and maxID come together" }];
    }
    return minID !== undefined && maxID! < minID ? [{ at: "maxID", must: `must not be below minID (${minID})` }] : [];
  },
);

const bridgeConfig = shape(
  {
    ...containerFields,
    bridge: orElse(text(newLinkNameRule, isNewLinkName), "cni0"),
    isGateway: flag(),
    isDefaultGateway: flag(),
    forceAddress: flag(),
    hairpinMode: flag(),
    promiscMode: flag(),
    vlan: orElse(integer(0, 4094), 0),
    vlanTrunk: optional(list(trunk)),
    preserveDefaultVlan: flag(),
    macspoofchk: flag(),
    disableContainerInterface: flag(),
    portIsolation: flag(),
    args: optional(shape({ cni: optional(shape({ mac: optionalOrEmpty(mac) })) })),
    runtimeConfig: optional(shape({ mac: optionalOrEmpty(mac), portMappings: optional(portMappingList) })),
  },
  (config) => [
    ...containerComplaints(config),
    ...(config.hairpinMode && config.promiscMode
      ? [{ at: "promiscMode", must: "must not be true together with hairpinMode" }]
      : []),
    ...(config.disableContainerInterface && config.ipam?.type
      ? [
          {
            at: "disableContainerInterface",
            must: "must not be true together with ipam: an interface that is down carries no addresses",
          },
        ]
      : []),
    ...(config.vlan &&
    config.ipam?.type &&
    (config.isGateway || config.isDefaultGateway) &&
    !isLinkName(`${config.bridge}.${config.vlan}`)
      ? [
          {
            at: "bridge",
            must: `must be shorter: the VLAN interface "${config.bridge}.${config.vlan}" would have more than 15 bytes`,
          },
        ]
      : []),
  ],
);

type BridgeConfig = Infer<typeof bridgeConfig> & ArgumentMac;

const read = (call: Invocation): BridgeConfig =>
  readWithMac(bridgeConfig, call, ["runtimeConfig.mac", "args.cni.mac", CNI_ARGS], idlePorts);

/** runtimeConfig beats args.cni beats CNI_ARGS. */
const wantedMac = ({ runtimeConfig, args, argumentMac }: BridgeConfig): string | undefined =>
  runtimeConfig?.mac ?? args?.cni?.mac ?? argumentMac;

/** A bridge attachment as data: bridge, its port, the container's end, addresses and routes. */
export function planBridge(config: BridgeConfig, subject: Subject, lease: Addressing): Plan {
  assertCarried(lease.ips, config);
  const isGateway = (config.isGateway || config.isDefaultGateway) && lease.ips.length > 0;
  const ips = lease.ips.map((ip) => ({
    ...ip,
    interface: 2,
    ...(isGateway && { gateway: ip.gateway ?? addToIp(networkOf(ip.address).ip, 1) }),
  }));
  const routes = [...lease.routes, ...(config.isDefaultGateway ? missingDefaults(ips, lease.routes) : [])];
  const vlans = planVlans(config);
  const { owner, netns } = subject;
  const parts: Part[] = [
    planOwn(config, subject.bridgeMac),
    planVeth(config, subject, {
      up: !config.disableContainerInterface,
      plug: {
        bridge: config.bridge,
        hairpin: config.hairpinMode,
        isolated: config.portIsolation,
        ...(vlans && { vlans }),
      },
    }),
    { kind: "host", addresses: [], routes: [], forwarding: isGateway ? familiesOf(ips) : [] },
    planPod(subject, {
      up: !config.disableContainerInterface,
      sysctls: ips.length > 0 ? planPodSysctls(owner.ifname, ips, config.enabledad) : [],
      addresses: planAddresses(ips, { dad: config.enabledad }),
      routes: planRoutes(routes, ips),
    }),
    ...(isGateway ? [planGateways(config, { ...lease, ips }, subject)] : []),
    ...firewall(config, ips, subject.podMac),
  ];
  return { ips, routes, attachment: { owner, netns, parts } };
}

const planOwn = ({ bridge: name, mtu, vlan, vlanTrunk, promiscMode }: BridgeConfig, mac: string): BridgePart => ({
  kind: "bridge",
  name,
  mac,
  ...(mtu && { mtu }),
  vlanFiltering: vlan !== 0 || vlanTrunk !== undefined,
  promisc: promiscMode,
});

/** What the bridge, or its interface in the attachment's VLAN, has of its own. */
function planGateways(
  config: BridgeConfig,
  { ips, gateways = [] }: Addressing,
  { vlanMac, listed }: Subject,
): GatewaysPart {
  const name = `${config.bridge}.${config.vlan}`;
  const mtu = listed.find((each) => each.name === name && !each.sandbox)?.mtu;
  return {
    kind: "gateways",
    bridge: config.bridge,
    addresses: ips
      .map(({ address, gateway }) => ({ ip: gateway!, length: address.length }))
      .filter(({ ip }) => !isUnspecified(ip)),
    others: gateways,
    force: config.forceAddress,
    ...(config.vlan !== 0 && {
      vlanInterface: { name, mac: vlanMac, vlans: { ...planVlans(config)!, tagged: [] }, ...(mtu && { mtu }) },
    }),
  };
}

const firewall = (config: BridgeConfig, ips: ResultIp[], mac: string): Part[] =>
  planFirewall(config, ips, config.macspoofchk ? [{ kind: "spoofCheck", mac }] : []);

/**
 * A default route per family through its first gateway, unless IPAM brought one; one without a `gw` gets the gateway
 * filled in.
 */
const missingDefaults = (ips: ResultIp[], routes: ResultRoute[]): ResultRoute[] =>
  familiesOf(ips)
    .filter((family) => !routes.some(({ dst }) => dst.ip.family === family && isDefault(dst)))
    .map((family) => ({
      dst: defaultPrefix(family),
      gw: ips.find(({ address }) => address.ip.family === family)!.gateway as Ip,
    }));

/** VLANs of the port: the configured one untagged, the trunk's tagged; a trunk alone keeps VLAN 1 untagged. */
function planVlans({ vlan, vlanTrunk, preserveDefaultVlan }: BridgeConfig): PortVlans | undefined {
  const ids = (vlanTrunk ?? []).flatMap(({ id, minID, maxID }) => [
    ...(id === undefined ? [] : [id]),
    ...(minID === undefined ? [] : Array.from({ length: maxID! - minID + 1 }, (_, at) => minID + at)),
  ]);
  if (!vlan && ids.length === 0) return undefined;
  return { dropDefault: !preserveDefaultVlan, untagged: vlan || 1, tagged: [...new Set(ids)].sort((a, b) => a - b) };
}

function interfaces({ attachment: { netns, parts } }: Plan, made: Made): ResultInterface[] {
  const { host, pod } = findPart(parts, "veth")!;
  const [link, { mtu }, vlan] = [made.bridge!, made.veth!, made.vlanInterface];
  return [
    { name: link.name, mac: link.mac, mtu: link.mtu },
    { name: host.name, mac: host.mac, mtu },
    { name: pod.name, mac: pod.mac, mtu, sandbox: netns },
    ...(vlan ? [{ name: vlan.name, mac: vlan.mac, mtu: vlan.mtu }] : []),
  ];
}

export const bridge: InterfacePlugin<BridgeConfig> = {
  name: "bridge",
  kinds: ["bridge", "veth", "host", "pod", "gateways"],
  optional: ["masquerade", "spoofCheck", "ports"],
  schema: bridgeConfig,
  needsIpam: false,
  read,
  mac: wantedMac,
  asked(config) {
    const own = planOwn(config, "");
    return [...(own.vlanFiltering ? [own] : []), ...firewall(config, [], "")];
  },
  plan: planBridge,
  interfaces,
};

import { CniError, Code } from "../cni/error.ts";
import type { Invocation, Plugin } from "../cni/invocation.ts";
import type { Result } from "../cni/result.ts";
import { optional, readConfig, shape } from "../cni/schema.ts";
import { namespaceKind } from "../kernel/namespace.ts";
import type { Prefix } from "../net/ip.ts";
import { chooseBackend, planPortMappings, portMappingComplaints, portMappingFields, portMappingList } from "./port-mappings.ts";

const portmapConfig = shape({ ...portMappingFields, runtimeConfig: optional(shape({ portMappings: optional(portMappingList) })) }, portMappingComplaints);

// `require`, not `import`: most pods map no port, and then none of this is loaded.
const actions = (): typeof import("./portmap-actions.ts") => require("./portmap-actions.ts");

/** The chained plugin that leads ports of the node to ports of the container another plugin has wired. */
export const portmap: Plugin = {
  name: "portmap",

  add(call) {
    const config = readConfig(portmapConfig, call);
    const result = previous(call);
    refuseOwnNamespace(call);
    const ports = planPortMappings(config, containerAddresses(call, result));
    if (!ports) return result;
    actions().addMappings(call, result, ports);
    return result;
  },

  check(call) {
    const config = readConfig(portmapConfig, call);
    const result = previous(call);
    const ports = planPortMappings(config, containerAddresses(call, result));
    const differences = ports ? actions().checkMappings(call, result, ports) : [];
    if (differences.length > 0) throw new CniError(Code.Internal, `port mappings of container ${call.containerId} are not as ADD made them: ${differences.join("; ")}`);
  },

  del(call) {
    const config = readConfig(portmapConfig, call);
    refuseOwnNamespace(call);
    const addresses = call.prevResult ? containerAddresses(call, call.prevResult).map(({ ip }) => ip) : [];
    const isMapped = Boolean(config.runtimeConfig?.portMappings?.length);
    actions().removeMappings(call, { backend: chooseBackend(config), addresses, isMapped });
  },

  gc(call) {
    const config = readConfig(portmapConfig, call);
    actions().collectMappings(call, chooseBackend(config));
  },

  status(call) {
    actions().statusOf(chooseBackend(readConfig(portmapConfig, call)));
  },
};

function previous({ prevResult }: Invocation): Result {
  if (prevResult) return prevResult;
  throw new CniError(Code.InvalidConfig, "prevResult is missing: portmap must be called after a plugin that gives the container its addresses");
}

function refuseOwnNamespace({ netns, netnsOverride }: Invocation): void {
  if (netns === "" || netnsOverride || namespaceKind(netns) !== "own") return;
  throw new CniError(Code.InvalidNetns, `CNI_NETNS ${JSON.stringify(netns)} is the network namespace podwire itself runs in: it would map the host's ports to itself`);
}

/** The addresses of prevResult that are this container's interface's, or belong to no interface it lists. */
function containerAddresses({ ifname }: Invocation, { ips, interfaces }: Result): Prefix[] {
  const isOurs = (index: number | undefined): boolean => {
    const link = index === undefined ? undefined : interfaces[index];
    return !link || (link.name === ifname && Boolean(link.sandbox));
  };
  return ips.filter(({ interface: index }) => isOurs(index)).map(({ address }) => address);
}

import type { PortMappings } from "../attachment/attachment.ts";
import * as firewall from "../attachment/firewall/firewall.ts";
import { findLink } from "../attachment/links.ts";
import { hostVethName, ownerOf } from "../attachment/owner.ts";
import { Undo } from "../attachment/undo.ts";
import { CniError, Code, messageOf } from "../cni/error.ts";
import type { Invocation, Plugin } from "../cni/invocation.ts";
import type { Result } from "../cni/result.ts";
import { optional, readConfig, shape } from "../cni/schema.ts";
import { namespaceKind } from "../kernel/namespace.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import type { Ip, Prefix } from "../net/ip.ts";
import {
  chooseBackend,
  planPortMappings,
  portMappingComplaints,
  portMappingFields,
  portMappingList,
} from "./port-mappings.ts";

const portmapConfig = shape(
  { ...portMappingFields, runtimeConfig: optional(shape({ portMappings: optional(portMappingList) })) },
  portMappingComplaints,
);

/** The chained plugin that leads ports of the node to ports of the container another plugin has wired. */
export const portmap: Plugin = {
  name: "portmap",

  add(call) {
    const config = readConfig(portmapConfig, call);
    const result = previous(call);
    refuseOwnNamespace(call);
    const ports = planPortMappings(config, containerAddresses(call, result));
    if (!ports) return result;
    addMappings(call, result, ports);
    return result;
  },

  check(call) {
    const config = readConfig(portmapConfig, call);
    const result = previous(call);
    const ports = planPortMappings(config, containerAddresses(call, result));
    const differences = ports ? checkMappings(call, result, ports) : [];
    if (differences.length > 0) {
      throw new CniError(
        Code.Internal,
        `port mappings of container ${call.containerId} are not as ADD made them: ${differences.join("; ")}`,
      );
    }
  },

  del(call) {
    const config = readConfig(portmapConfig, call);
    refuseOwnNamespace(call);
    const addresses = call.prevResult ? containerAddresses(call, call.prevResult).map(({ ip }) => ip) : [];
    const isMapped = Boolean(config.runtimeConfig?.portMappings?.length);
    removeMappings(call, { backend: chooseBackend(config), addresses, isMapped });
  },

  gc(call) {
    const config = readConfig(portmapConfig, call);
    firewall.collectPortMappings(call.network, call.validAttachments, chooseBackend(config));
  },

  status(call) {
    firewall.statusFirewall(chooseBackend(readConfig(portmapConfig, call)));
  },
};

function previous({ prevResult }: Invocation): Result {
  if (prevResult) return prevResult;
  throw new CniError(
    Code.InvalidConfig,
    "prevResult is missing: portmap must be called after a plugin that gives the container its addresses",
  );
}

function refuseOwnNamespace({ netns, netnsOverride }: Invocation): void {
  if (netns === "" || netnsOverride || namespaceKind(netns) !== "own") return;
  throw new CniError(
    Code.InvalidNetns,
    `CNI_NETNS ${JSON.stringify(netns)} is the network namespace podwire itself runs in: ` +
      `it would map the host's ports to itself`,
  );
}

/** The addresses of prevResult that are this container's interface's, or belong to no interface it lists. */
function containerAddresses({ ifname }: Invocation, { ips, interfaces }: Result): Prefix[] {
  const isOurs = (index: number | undefined): boolean => {
    const link = index === undefined ? undefined : interfaces[index];
    return !link || (link.name === ifname && Boolean(link.sandbox));
  };
  return ips.filter(({ interface: index }) => isOurs(index)).map(({ address }) => address);
}

/** Makes the mappings; when that fails, takes back what it made. */
function addMappings(call: Invocation, result: Result, ports: PortMappings): void {
  firewall.assertFirewallTools({ portMappings: ports });
  const undo = new Undo();
  try {
    firewall.applyPortMappings(ownerOf(call), findHostLink(call, result), ports, (run) =>
      undo.push("remove port mappings", run),
    );
  } catch (error) {
    for (const failure of undo.run()) call.log.warn(`undo: ${failure}`);
    throw error;
  }
}

/** What is otherwise than `addMappings` made it, in words; the container's mappings may be the reference's. */
function checkMappings(call: Invocation, result: Result, ports: PortMappings): string[] {
  const owner = ownerOf(call);
  const differences = firewall.checkPortMappings(owner, findHostLink(call, result), ports);
  return differences.length > 0 && firewall.hasReferencePorts(owner, ports) ? [] : differences;
}

/**
 * Takes the mappings away, or those the reference made where podwire made none. A DEL that fails here would make the
 * runtime leave out the rest of the chain and leak the container's address: what fails is logged.
 */
function removeMappings(
  call: Invocation,
  traces: { backend: PortMappings["backend"]; addresses: Ip[]; isMapped: boolean },
): void {
  const owner = ownerOf(call);
  try {
    const found = firewall.removePortMappings(owner, traces);
    if (!found && traces.isMapped) firewall.removeReferencePorts(owner);
  } catch (error) {
    call.log.warn(`port mappings of ${call.containerId} may be left behind: ${messageOf(error)}`);
  }
}

/** The host's end of the container's link: podwire's own, else a veth of the host that prevResult lists. */
function findHostLink(call: Invocation, { interfaces }: Result): string | undefined {
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  try {
    const own = hostVethName(ownerOf(call));
    const listed = interfaces.filter(({ sandbox }) => !sandbox).map(({ name }) => name);
    return [own, ...listed].find((name) => findLink(host, name)?.kind === "veth");
  } finally {
    host.close();
  }
}

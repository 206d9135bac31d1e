import {
  applyPortMappings, assertFirewallTools, checkPortMappings, collectPortMappings, hasReferencePorts, removePortMappings, removeReferencePorts, statusFirewall,
} from "../attachment/firewall/firewall.ts";
import type { PortMappings } from "../attachment/attachment.ts";
import { findLink } from "../attachment/links.ts";
import { hostVethName, ownerOf } from "../attachment/owner.ts";
import { Undo } from "../attachment/undo.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Result } from "../cni/result.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import type { Ip } from "../net/ip.ts";

// What portmap does to the host, apart from it because most pods map no port.

/** Makes the mappings; when that fails, takes back what it made. */
export function addMappings(call: Invocation, result: Result, ports: PortMappings): void {
  assertFirewallTools({ portMappings: ports });
  const undo = new Undo();
  try {
    applyPortMappings(ownerOf(call), findHostLink(call, result), ports, (run) => undo.push("remove port mappings", run));
  } catch (error) {
    for (const failure of undo.run()) call.log.warn(`undo: ${failure}`);
    throw error;
  }
}

/** What is otherwise than `addMappings` made it, in words; the container's mappings may be the reference's. */
export function checkMappings(call: Invocation, result: Result, ports: PortMappings): string[] {
  const owner = ownerOf(call);
  const differences = checkPortMappings(owner, findHostLink(call, result), ports);
  return differences.length > 0 && hasReferencePorts(owner, ports) ? [] : differences;
}

/**
 * Takes the mappings away, or those the reference made where podwire made none. A DEL that fails here would make the runtime
 * leave out the rest of the chain and leak the container's address: what fails is logged.
 */
export function removeMappings(call: Invocation, traces: { backend: PortMappings["backend"]; addresses: Ip[]; isMapped: boolean }): void {
  const owner = ownerOf(call);
  try {
    const found = removePortMappings(owner, traces);
    if (!found && traces.isMapped) removeReferencePorts(owner);
  } catch (error) {
    call.log.warn(`port mappings of ${call.containerId} may be left behind: ${(error as Error).message}`);
  }
}

export const collectMappings = (call: Invocation, backend: PortMappings["backend"]): void => collectPortMappings(call.network, call.validAttachments, backend);
export const statusOf = statusFirewall;

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

import type { Owner } from "../attachment/attachment.ts";
import type { PodNamespace } from "../attachment/pod-namespace.ts";
import type { Undo } from "../attachment/undo.ts";
import { delegateAdd, delegateVerb, getPluginFile } from "../cni/delegate.ts";
import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { ResultIp } from "../cni/result.ts";
import { type HostLocalConfig, parseIpamConfig, parseLeaseFolder } from "../ipam/config.ts";
import { collectLeases } from "../ipam/collect.ts";
import { findRecord } from "../ipam/knowledge.ts";
import { addLease, checkLease, findLease, removeLease } from "../ipam/leases.ts";
import { findRange } from "../ipam/range.ts";
import { statusOfLeases } from "../ipam/status.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { hostLiveness } from "./liveness.ts";
import type { Lease } from "./plan.ts";

/** Address management as a wiring plugin sees it, whoever does it. */
export interface Ipam {
  /** Leases addresses; how to give them back is registered in `undo`. */
  add(owner: Owner, attachment: { hostVeth: string; pod: PodNamespace; firewall: boolean }, undo: Undo): Lease;
  check(owner: Owner): void;
  /**
   * What the owner holds, as far as can be known without asking a delegate; `firewall` is false where it surely has no
   * rules, `foreign` is true for a lease podwire made for nobody: the reference did, or another main plugin.
   */
  traces(owner: Owner): { addresses: Ip[]; firewall: boolean; foreign: boolean };
  del(owner: Owner): void;
  gc(): void;
  status(): void;
  /** A reported address with the prefix length of the subnet it was leased from, where that is known. */
  inSubnet(ip: ResultIp): ResultIp;
}

/** host-local is part of this process (`podwire` is another name for it); any other type is executed from CNI_PATH. */
export const chooseIpam = (call: Invocation, type: string): Ipam =>
  type === "host-local" || type === "podwire" ? hostLocalIpam(call) : delegatedIpam(call, type);

function hostLocalIpam(call: Invocation): Ipam {
  const removes = call.verb === "DEL" || call.verb === "GC";
  const folder = parseLeaseFolder(call);
  // ADD must refuse a configuration that is wrong before anything is done; removal needs none of it
  const config: HostLocalConfig | undefined = removes ? undefined : parseIpamConfig(call);
  return {
    add(owner, { hostVeth, pod, firewall }, undo) {
      const cookie = pod.cookie;
      const lease = addLease(config!, owner, hostLiveness(), {
        hostVeth,
        netns: pod.path,
        ...(cookie !== undefined && { cookie }),
        firewall,
      });
      undo.push("release the lease", () => lease.undo());
      for (const { ip, holder } of lease.takenBack) {
        call.log.warn(`took back ${formatIp(ip)} of container ${holder?.containerId}, which is gone`);
      }
      return lease;
    },
    check: (owner) => checkLease(config!, owner),
    traces(owner) {
      const knowledge = findRecord(folder, owner)?.knowledge;
      const addresses = findLease(folder, owner);
      return {
        addresses,
        firewall: knowledge === undefined || knowledge.firewall === true,
        foreign: addresses.length > 0 && knowledge === undefined,
      };
    },
    del: (owner) => void removeLease(folder, owner),
    gc: () => call.log.note("leases", collectLeases(folder, call.validAttachments).length),
    status: () => statusOfLeases(config!, call.log),
    inSubnet(ip) {
      const range = config?.sets.map((set) => findRange(set, ip.address.ip)).find((found) => found);
      return range ? { ...ip, address: { ip: ip.address.ip, length: range.subnet.length } } : ip;
    },
  };
}

function delegatedIpam(call: Invocation, type: string): Ipam {
  if (call.verb === "ADD") getPluginFile(call, type); // a missing executable is found out before anything is touched
  return {
    add(_owner, _attachment, undo) {
      // DEL also after an ADD that failed: the delegate may have done half of it (SPEC.md, "Delegated plugins")
      undo.push(`DEL of IPAM plugin ${type}`, () => delegateVerb(call, type, "DEL"));
      const { ips, routes, dns } = delegateAdd(call, type);
      if (ips.length === 0) throw new CniError(Code.Internal, `IPAM plugin ${type} returned no IP addresses`);
      return { ips, routes, dns };
    },
    check: () => delegateVerb(call, type, "CHECK"),
    traces: () => ({ addresses: [], firewall: true, foreign: false }),
    del: () => delegateVerb(call, type, "DEL"),
    gc: () => delegateVerb(call, type, "GC"),
    status: () => delegateVerb(call, type, "STATUS"),
    inSubnet: (ip) => ip,
  };
}

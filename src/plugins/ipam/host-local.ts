import { removedMeanwhile } from "../../cni/error.ts";
import type { Plugin } from "../../cni/invocation.ts";
import { collectLeases, keptBy } from "../../ipam/collect.ts";
import { parseIpamConfig, parseLeaseFolder } from "../../ipam/config.ts";
import { addLease, checkLease, removeLease } from "../../ipam/leases.ts";
import { statusOfLeases } from "../../ipam/status.ts";
import { knownToIpam } from "../../ipam/keys.ts";
import { refuseOwnNamespace } from "../../attachment/pod-namespace.ts";
import { formatIp } from "../../net/ip.ts";
import { hostLiveness } from "../../node/liveness.ts";
import { findFormerNetwork, hasRecord } from "../../node/record.ts";

const known = knownToIpam("host-local");

/** The IPAM plugin by itself, for main plugins that run one: addresses of the configured ranges, kept as files. */
export const hostLocal: Plugin = {
  name: "host-local",

  add(call) {
    refuseOwnNamespace(call);
    const config = parseIpamConfig(call);
    const { ips, routes, dns, takenBack, undo } = addLease(config, call, hostLiveness());
    for (const { ip, holder } of takenBack) {
      call.log.warn(`took back ${formatIp(ip)} of container ${holder?.containerId}, which is gone`);
    }
    try {
      if (!hasRecord(config.folder, call)) throw removedMeanwhile("the lease");
    } catch (error) {
      undo();
      throw error;
    }
    return { interfaces: [], ips, routes, dns };
  },

  check: (call) => checkLease(parseIpamConfig(call), call),

  del(call) {
    refuseOwnNamespace(call);
    const folder = parseLeaseFolder(call);
    const former = findFormerNetwork(folder, call);
    removeLease(folder, call);
    if (former !== undefined) removeLease({ ...folder, network: former }, call);
  },

  gc(call) {
    call.log.note("leases", collectLeases(parseLeaseFolder(call), keptBy(call)).length);
  },

  inspect: (call) => void parseIpamConfig(call),
  known: () => known,
  status: (call) => statusOfLeases(parseIpamConfig(call), call.log),
};

import type { Part } from "../attachment/attachment.ts";
import { ownerOf } from "../attachment/owner.ts";
import type { Site } from "../attachment/site.ts";
import type { Undo } from "../attachment/undo.ts";
import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { type Addressing, noAddressing, type Result, type ResultIp } from "../cni/result.ts";
import { hostLiveness } from "../node/liveness.ts";
import { findFormerNetwork, findRecord, hasRecord, isRecordedOfAnother } from "../node/record.ts";
import { formatIp, type Prefix, sameIp } from "../net/ip.ts";
import { collectLeases, type Kept } from "./collect.ts";
import { type HostLocalConfig, isHostLocal, parseIpamConfig, parseLeaseFolder } from "./config.ts";
import { addDhcp, checkDhcp, collectDhcp, removeDhcp, statusOfDhcp } from "./dhcp.ts";
import { parseDhcp } from "./dhcp-config.ts";
import { assertDelegable, delegateAdd, delegateVerb, isThisExecutable } from "./delegate.ts";
import { addLease, checkLease, findLease, removeLease } from "./leases.ts";
import { type Known, knowledgeOf, recordOf } from "./own-record.ts";
import { findRange } from "./range.ts";
import { checkStatic } from "./static.ts";
import { parseStatic } from "./static-config.ts";
import { statusOfLeases } from "./status.ts";

/** Where an attachment's addresses come from, whoever gives them; it also keeps the attachment's record. */
export interface Ipam {
  /** false: the attachment has no addresses at all */
  readonly gives: boolean;
  /**
   * There where addresses are asked for over the link itself: keeps a record of it before it is made, which is before
   * `add` then.
   */
  prepare?(site: Site, parts: readonly Part[], undo: Undo): void;
  /** DEL and GC, of what is given back over the links that are about to be removed. */
  giveBack?(kept?: Kept): void;
  /** Leases addresses; how to give them back is registered in `undo`. `parts`: what will have to be removed one day. */
  add(site: Site, parts: readonly Part[], undo: Undo): Addressing;
  check(): void;
  /** False where what `add` gave, or the record of it, is gone since: a GC that does not know of this ADD took it. */
  isKept(): boolean;
  /** What is known of the attachment without asking a delegate. */
  traces(): Known;
  del(): void;
  /** `keepsRecords`: of attachments that are not valid something is left, which their records tell of. */
  gc(kept: Kept, keepsRecords: boolean): void;
  status(): void;
  /** `Addressing`'s */
  readonly gateways?: readonly Prefix[];
  /** A reported address with the prefix length of the subnet it was leased from, where that is known. */
  inSubnet(ip: ResultIp): ResultIp;
}

/**
 * host-local, static and dhcp are part of this process; others are executed from CNI_PATH, but never podwire itself; ""
 * gives no addresses, but those of an earlier plugin's result where that is given.
 */
export function chooseIpam(call: Invocation, type: string, previous?: Result): Ipam {
  if (isHostLocal(type)) return hostLocalIpam(call);
  if (type === "static") return staticIpam(call);
  if (type === "dhcp") return dhcpIpam(call);
  const isNone = type === "" || (removes(call) && isThisExecutable(call, type));
  return isNone ? noIpam(call, previous) : delegatedIpam(call, type);
}

const removes = ({ verb }: Invocation): boolean => verb === "DEL" || verb === "GC";

function hostLocalIpam(call: Invocation): Ipam {
  const owner = ownerOf(call);
  // ADD must refuse a configuration that is wrong before anything is done; removal needs none of it
  const config: HostLocalConfig | undefined = removes(call) ? undefined : parseIpamConfig(call);
  const folder = config?.folder ?? parseLeaseFolder(call);
  const gateways = (config?.sets ?? []).flat().map(({ gateway, subnet: { length } }) => ({ ip: gateway, length }));
  let hasNone = false;
  let isLeased = false;
  return {
    gives: true,
    gateways,
    add: (site, parts, undo) =>
      call.log.step("ipam", () => {
        const lease = addLease(config!, owner, hostLiveness(), knowledgeOf(call, site, parts));
        isLeased = true;
        undo.push("release the lease", () => lease.undo());
        for (const { ip, holder } of lease.takenBack) {
          call.log.warn(`took back ${formatIp(ip)} of container ${holder?.containerId}, which is gone`);
        }
        return { ...lease, gateways };
      }),
    check: () => checkLease(config!, owner),
    isKept: () => !isLeased || hasRecord(folder, owner),
    traces() {
      const record = findRecord(folder, owner);
      const knowledge = record?.knowledge;
      const addresses = findLease(folder, owner, record);
      hasNone = addresses.length === 0;
      const former = addresses.length === 0 ? findFormerNetwork(folder, owner, record) : undefined;
      const isAnothers = (cookie: bigint): boolean => isRecordedOfAnother(folder, owner, cookie);
      return { addresses, knowledge, foreign: !knowledge?.parts, former, isAnothers };
    },
    del: () => void call.log.step("ipam", () => removeLease(folder, owner, hasNone)),
    gc: (kept, keepsRecords) => call.log.note("leases", collectLeases(folder, kept, { keepsRecords }).length),
    status: () => statusOfLeases(config!, call.log),
    inSubnet(ip) {
      const range = config?.sets.map((set) => findRange(set, ip.address.ip)).find((found) => found);
      return range ? { ...ip, address: { ip: ip.address.ip, length: range.subnet.length } } : ip;
    },
  };
}

function noIpam(call: Invocation, previous: Result | undefined): Ipam {
  const { keep, refuseSecond, ...record } = recordOf(call);
  const { ips, routes } = previous ?? noAddressing();
  return {
    ...record,
    gives: previous !== undefined,
    add(site, parts, undo) {
      refuseSecond();
      keep(ips, site, parts, undo);
      return { ...noAddressing(), ips, routes };
    },
    check: () => undefined,
    status: () => undefined,
    inSubnet: (ip) => ip,
  };
}

function staticIpam(call: Invocation): Ipam {
  const given = removes(call) ? noAddressing() : parseStatic(call);
  const { keep, refuseSecond, ...record } = recordOf(call);
  return {
    ...record,
    gives: true,
    add(site, parts, undo) {
      const { ips } = given;
      if (ips.length === 0) {
        throw new CniError(
          Code.InvalidConfig,
          "ipam.addresses is empty, and neither runtimeConfig.ips, args.cni.ips nor IP of CNI_ARGS has an address",
        );
      }
      refuseSecond();
      keep(ips, site, parts, undo);
      return given;
    },
    // that the addresses are there is seen on the link; gateways are the main plugin's affair
    check: () => checkStatic(call, { ...given, ips: given.ips.map(({ address }) => ({ address })) }),
    status: () => undefined,
    inSubnet(ip) {
      const found = given.ips.find(({ address }) => sameIp(address.ip, ip.address.ip));
      return found ? { ...ip, address: found.address } : ip;
    },
  };
}

function dhcpIpam(call: Invocation): Ipam {
  const config = removes(call) ? undefined : parseDhcp(call);
  const { keep, refuseSecond, ...record } = recordOf(call);
  return {
    gives: true,
    prepare(site, parts, undo) {
      refuseSecond();
      keep([], site, parts, undo);
    },
    add: (site, parts, undo) =>
      call.log.step("ipam", () => {
        // also after an ADD that failed: the daemon may have done half of it
        undo.push("give the lease back", () => removeDhcp(call));
        const given = addDhcp(call, config!);
        keep(given.ips, site, parts, undo);
        return given;
      }),
    check: () => checkDhcp(call, config!),
    giveBack: (kept) => call.log.step("ipam", () => (call.verb === "GC" ? collectDhcp(call, kept) : removeDhcp(call))),
    ...record,
    status: () => statusOfDhcp(config!),
    inSubnet: (ip) => ip,
  };
}

function delegatedIpam(call: Invocation, type: string): Ipam {
  if (!removes(call)) assertDelegable(call, type);
  const { keep, refuseSecond, ...record } = recordOf(call);
  return {
    gives: true,
    add: (site, parts, undo) =>
      call.log.step("ipam", () => {
        refuseSecond();
        // DEL also after an ADD that failed: the delegate may have done half of it (SPEC.md, "Delegated plugins")
        undo.push(`DEL of IPAM plugin ${type}`, () => delegateVerb(call, type, "DEL"));
        const { ips, routes, dns } = delegateAdd(call, type);
        if (ips.length === 0) throw new CniError(Code.Internal, `IPAM plugin ${type} returned no IP addresses`);
        keep(ips, site, parts, undo);
        return { ips, routes, dns };
      }),
    check: () => delegateVerb(call, type, "CHECK"),
    ...record,
    del: () =>
      call.log.step("ipam", () => {
        delegateVerb(call, type, "DEL");
        record.del();
      }),
    gc(kept, keepsRecords) {
      record.gc(kept, keepsRecords);
      delegateVerb(call, type, "GC");
    },
    status: () => delegateVerb(call, type, "STATUS"),
    inSubnet: (ip) => ip,
  };
}

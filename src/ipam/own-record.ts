import { findPart, type Part } from "../attachment/attachment.ts";
import { getDevice, isProgramDriven } from "../attachment/link/device-choice.ts";
import { masterMtuOf } from "../attachment/link/inherited-mtu.ts";
import { ownerOf } from "../attachment/owner.ts";
import type { Site } from "../attachment/site.ts";
import type { Undo } from "../attachment/undo.ts";
import { messageOf } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { podNameOf } from "../cni/pod-name.ts";
import type { ResultIp } from "../cni/result.ts";
import type { Ip } from "../net/ip.ts";
import { SystemError } from "../kernel/linux.ts";
import { runMarker } from "../node/liveness.ts";
import {
  ensureRecord,
  findFormerNetwork,
  findRecord,
  hasRecord,
  isRecordedOfAnother,
  type Knowledge,
  pruneRecords,
  removeRecord,
} from "../node/record.ts";
import type { Kept } from "./collect.ts";
import { parseLeaseFolder } from "./config.ts";
import { assertNotAttached } from "./duplicate.ts";

/** `foreign` is true where podwire has no record of the attachment: the reference may have made it. */
export interface Known {
  addresses: Ip[];
  /** what its record tells; undefined where there is none, or one that says nothing of the pod */
  knowledge?: Knowledge | undefined;
  foreign: boolean;
  /** what its network was called when it was made, where it has a record by that name alone */
  former?: string | undefined;
  /** `Traces`' */
  isAnothers?(cookie: bigint): boolean;
}

/** What is remembered of the attachment that is being made. */
export function knowledgeOf({ args }: Invocation, site: Site, parts: readonly Part[]): Knowledge {
  const { hostLink, pod } = site;
  const { cookie } = pod;
  const moved = findPart(parts, "movedLink");
  const masterMtu = masterMtuOf(findPart(parts, "podLink"), site);
  const name = podNameOf(args);
  return {
    ...(hostLink !== undefined && { hostVeth: hostLink }),
    netns: pod.path,
    ...(cookie !== undefined && { cookie }),
    parts: parts.map(({ kind }) => kind),
    ...(masterMtu !== undefined && { masterMtu }),
    ...(moved && !isProgramDriven(moved) && { device: getDevice(moved.choice, site.host).name }),
    usesIptables: parts.some((part) => "backend" in part && part.backend === "iptables"),
    ...(name && { pod: name }),
  };
}

/** The record of an attachment that has no leases of podwire's own. */
interface OwnRecord {
  /** CniError 4 where the attachment lives already */
  refuseSecond(): void;
  keep(ips: readonly ResultIp[], site: Site, parts: readonly Part[], undo: Undo): void;
  /** False where the record was written, and is gone since. */
  isKept(): boolean;
  traces(): Known;
  del(): void;
  /** `keepsRecords`: of attachments that are not valid something is left, which their records tell of. */
  gc(kept: Kept, keepsRecords: boolean): void;
}

/**
 * An attachment without leases of podwire's own has a record all the same: DEL and GC need neither delegate nor
 * prevResult.
 */
export function recordOf(call: Invocation): OwnRecord {
  const folder = parseLeaseFolder(call);
  const owner = ownerOf(call);
  let isWritten = false;
  return {
    refuseSecond: () => assertNotAttached(folder, owner),
    keep(ips, site, parts, undo) {
      undo.push("forget the record", () => removeRecord(folder, owner));
      try {
        const addresses = ips.map(({ address }) => address.ip);
        ensureRecord(folder, { owner, ips: addresses, marker: runMarker(), knowledge: knowledgeOf(call, site, parts) });
        isWritten = true;
      } catch (error) {
        if (!(error instanceof SystemError)) throw error; // a node where it cannot be kept has pods all the same
        call.log.warn(`cannot keep a record of the attachment: ${messageOf(error)}`);
      }
    },
    isKept: () => !isWritten || hasRecord(folder, owner),
    traces() {
      const record = findRecord(folder, owner);
      const former = findFormerNetwork(folder, owner, record);
      const isAnothers = (cookie: bigint): boolean => isRecordedOfAnother(folder, owner, cookie);
      return { addresses: record?.ips ?? [], knowledge: record?.knowledge, foreign: !record, former, isAnothers };
    },
    del: () => void removeRecord(folder, owner),
    gc(kept, keepsRecords) {
      if (!keepsRecords) pruneRecords(folder, kept);
    },
  };
}

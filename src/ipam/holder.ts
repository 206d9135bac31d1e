import type { Owner } from "../attachment/attachment.ts";
import type { Invocation } from "../cni/invocation.ts";
import { type Ip, sameIp } from "../net/ip.ts";
import { recordedNetworks } from "../node/inventory.ts";
import { hostLiveness, lifeOf } from "../node/liveness.ts";
import { listRecords } from "../node/record.ts";
import { parseLeaseFolder } from "./config.ts";
import { judgeLease } from "./judgement.ts";
import { leasedNetworks } from "./lease-networks.ts";

/**
 * Whose an address is, of attachments but the call's own that are not provably gone: by the lease of any network in the
 * folder, or by the record of one that has no leases, which takes reading them all.
 */
export function findHolder(call: Invocation, ip: Ip): Owner | undefined {
  const { dataDir } = parseLeaseFolder(call);
  const liveness = hostLiveness();
  const isOwn = (other: { containerId: string; ifname?: string | undefined }): boolean =>
    other.containerId === call.containerId && (other.ifname ?? call.ifname) === call.ifname;
  for (const network of leasedNetworks(dataDir)) {
    const lease = judgeLease({ dataDir, network }, ip, liveness);
    if (!lease?.holder || lease.state === "gone" || isOwn(lease.holder)) continue;
    return { network, ifname: "", ...lease.holder };
  }
  for (const network of recordedNetworks(dataDir)) {
    const holder = listRecords({ dataDir, network }).find(
      (record) =>
        record.ips.some((each) => sameIp(each, ip)) &&
        !isOwn(record.owner) &&
        record.knowledge !== undefined &&
        lifeOf(record, liveness) !== "gone",
    );
    if (holder) return { network, ...holder.owner };
  }
  return undefined;
}

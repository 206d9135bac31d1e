import type { Owner } from "../attachment/attachment.ts";
import type { Invocation } from "../cni/invocation.ts";
import { parseLeaseFolder } from "../ipam/config.ts";
import { type Ip, sameIp } from "../net/ip.ts";
import { recordedNetworks } from "../node/inventory.ts";
import { hostLiveness, lifeOf } from "../node/liveness.ts";
import { listRecords } from "../node/record.ts";

/** The live attachment, but the call's own, that has the address by its record. Reads those of all networks. */
export function findHolder(call: Invocation, ip: Ip): Owner | undefined {
  const { dataDir } = parseLeaseFolder(call);
  const liveness = hostLiveness();
  for (const network of recordedNetworks(dataDir)) {
    const holder = listRecords({ dataDir, network }).find(
      (record) =>
        record.ips.some((each) => sameIp(each, ip)) &&
        !(record.owner.containerId === call.containerId && record.owner.ifname === call.ifname) &&
        record.knowledge !== undefined &&
        lifeOf(record, liveness) === "live",
    );
    if (holder) return { network, ...holder.owner };
  }
  return undefined;
}

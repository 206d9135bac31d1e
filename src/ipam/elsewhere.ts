import { CniError, Code } from "../cni/error.ts";
import { hostLiveness } from "../node/liveness.ts";
import { describeOwner } from "../attachment/owner.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { judgeLease } from "./judgement.ts";
import type { LeaseFolder } from "./lease-folder.ts";
import { leasedNetworks } from "./lease-networks.ts";

/** CniError 11 for an address that a pod of another network has, which is not provably gone. */
export function assertNoOthers({ dataDir, network }: LeaseFolder, ip: Ip): void {
  const liveness = hostLiveness();
  for (const other of leasedNetworks(dataDir)) {
    const lease = other === network ? undefined : judgeLease({ dataDir, network: other }, ip, liveness);
    if (!lease?.holder || lease.state === "gone") continue;
    const { containerId, ifname = "" } = lease.holder;
    throw new CniError(
      Code.TryAgainLater,
      `the address ${formatIp(ip)} is that of ${describeOwner({ network: other, containerId, ifname })}: ` +
        "the node has one route to it",
    );
  }
}

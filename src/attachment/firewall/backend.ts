import { CniError, Code, codeFor, messageOf } from "../../cni/error.ts";
import { type Frame, Nftables } from "../../kernel/nftables/nftables.ts";
import type { Family, Prefix } from "../../net/ip.ts";
import type { Backend } from "../attachment.ts";
import { assertIptables } from "./iptables.ts";

/** What works with a backend: nothing is known of its addresses yet where it has none. */
interface Filtering {
  backend: Backend;
  addresses: readonly Prefix[];
}

/**
 * `assertTools` of such a part: the backend itself before anything is known, then what IPv6 addresses need besides.
 */
export function assertBackend({ backend, addresses }: Filtering): void {
  if (addresses.length === 0) assertUsable(backend, [4], Code.Internal);
  else if (backend === "iptables" && addresses.some(({ ip }) => ip.family === 6)) assertIptables([6]);
}

/**
 * Throws code 50 when the backend cannot work on this node; changes nothing. `frame` is what nftables must be able to
 * hold.
 */
export const statusOfBackend = (backend: Backend, frame: Frame): void =>
  assertUsable(backend, [4], Code.NotAvailable, (nft) => nft.probeFrame(frame));

function assertUsable(
  backend: Backend,
  families: readonly Family[],
  code: number,
  probe: (nft: Nftables) => void = (nft) => nft.probe(),
): void {
  if (backend === "iptables") return assertIptables(families, code);
  try {
    Nftables.use(probe);
  } catch (error) {
    throw new CniError(
      codeFor(error, code),
      "nftables cannot be used; the kernel module nf_tables and the capability CAP_NET_ADMIN are needed: " +
        messageOf(error),
      "",
      { cause: error },
    );
  }
}

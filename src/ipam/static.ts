import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Addressing } from "../cni/result.ts";
import { formatIp, formatPrefix, sameIp } from "../net/ip.ts";

/**
 * CniError 7 without prevResult, 999 where it lacks an address that is configured, or has it with another gateway: one
 * that is not configured may be anybody's choice.
 */
export function checkStatic({ prevResult }: Pick<Invocation, "prevResult">, { ips }: Addressing): void {
  if (!prevResult) {
    throw new CniError(Code.InvalidConfig, "prevResult: CHECK needs the result of ADD, and it is missing");
  }
  const wrong = ips.flatMap(({ address, gateway }) => {
    const reported = prevResult.ips.find((other) => sameIp(other.address.ip, address.ip));
    if (!reported) return [`it lacks ${formatPrefix(address)}`];
    if (!gateway || (reported.gateway && sameIp(gateway, reported.gateway))) return [];
    const other = reported.gateway ? `gateway ${formatIp(reported.gateway)}` : "no gateway";
    return [`${formatPrefix(address)} has ${other} in it, not ${formatIp(gateway)}`];
  });
  if (wrong.length === 0) return;
  throw new CniError(Code.Internal, `prevResult.ips is not what static gives now: ${wrong.join("; ")}`);
}

import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { type Addressing, noAddressing, type Result, type ResultIp } from "../cni/result.ts";
import type { Ipam } from "../ipam/ipam.ts";
import { bits } from "../net/ip.ts";

// What the result of an earlier plugin, or of an earlier ADD, says of a container.

/** prevResult, for a verb or plugin that cannot do without. */
export function getPrevious({ prevResult }: Invocation, who: string): Result {
  if (prevResult) return prevResult;
  throw new CniError(
    Code.InvalidConfig,
    who === "CHECK"
      ? "prevResult: CHECK needs the result of ADD, and it is missing"
      : `prevResult is missing: ${who} must be called after a plugin that gives the container its addresses`,
  );
}

/** Which addresses of a result a plugin is about. */
export type Addresses = (call: Invocation, result: Result) => ResultIp[];

/** This container's addresses: those of its interface, and those of no interface that is listed. */
export const containerIps: Addresses = ({ ifname }, { ips, interfaces }) =>
  ips.filter(({ interface: index }) => {
    const link = index === undefined ? undefined : interfaces[index];
    return !link || (link.name === ifname && Boolean(link.sandbox));
  });

/**
 * The addresses of all interfaces that are a container's, whatever their names, and those of no interface. A result
 * that has no sandbox anywhere is of a plugin that says nothing of whose its interfaces are.
 */
export const sandboxedIps: Addresses = (_call, { ips, interfaces }) => {
  const saysWhose = interfaces.some(({ sandbox }) => Boolean(sandbox));
  return ips.filter(({ interface: index }) => {
    const link = index === undefined ? undefined : interfaces[index];
    return !link || !saysWhose || Boolean(link.sandbox);
  });
};

/** Addresses as an earlier plugin of the chain got them: nothing is leased, and nothing given back. */
export const previousIpam = (call: Invocation, name: string, addressesOf: Addresses): Ipam => ({
  gives: true,
  add() {
    const previous = getPrevious(call, name);
    return { ...previous, ips: addressesOf(call, previous) };
  },
  check: () => void getPrevious(call, name),
  isKept: () => true,
  // whether the reference made what is there is not known, so it may be so
  traces: () => ({ addresses: [], foreign: true }),
  del: () => undefined,
  gc: () => undefined,
  status: () => undefined,
  inSubnet: (ip) => ip,
});

/**
 * What CHECK compares with: the addresses and routes ADD reported. A single address says nothing of the subnet it was
 * leased from; any other is what it was, whatever the range is now.
 */
export function reported(result: Result, own: readonly ResultIp[], ipam: Ipam): Addressing {
  const isSingle = ({ address: { ip, length } }: ResultIp): boolean => length === bits(ip.family);
  const ips = own.map((ip) => (isSingle(ip) ? ipam.inSubnet(ip) : ip));
  return { ...noAddressing(), ips, routes: result.routes, gateways: ipam.gateways ?? [] };
}

import { CniError, Code } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isLocal } from "../../kernel/route-lookup.ts";
import { formatIp, formatPrefix, type Ip, type Prefix, sameIp, samePrefix } from "../../net/ip.ts";
import { findPart, type Part } from "../attachment.ts";
import { getDevice, isProgramDriven } from "../link/device-choice.ts";
import { findAddresses } from "../link/links.ts";

/** What no host has as its own (RFC 6890, RFC 4291); undefined for any other address. */
function specialKind({ family, value }: Ip): string | undefined {
  if (family === 6) {
    if (value === 0n) return "the unspecified address";
    if (value === 1n) return "the loopback address";
    return value >> 120n === 0xffn ? "a multicast address" : undefined;
  }
  const first = Number(value >> 24n);
  if (first === 0) return "an unspecified address";
  if (first === 127) return "a loopback address";
  if (value === 0xffff_ffffn) return "the broadcast address";
  return first >= 224 && first < 240 ? "a multicast address" : undefined;
}

/** Whether the host has the address on the device alone that goes to the pod: it leaves with that. */
function isLeaving(ip: Ip, parts: readonly Part[], host: NetlinkSocket): boolean {
  const moved = parts.find((part) => part.kind === "movedLink");
  if (!moved || isProgramDriven(moved)) return false;
  const holders = findAddresses(host, { index: 0 }, [ip]).length;
  return holders > 0 && findAddresses(host, getDevice(moved.choice, host), [ip]).length === holders;
}

/** The addresses the node itself will have as the gateways of the attachment. */
const gatewaysOnHost = (parts: readonly Part[]): Ip[] => [
  ...(findPart(parts, "host")?.addresses ?? []).map(({ prefix }) => prefix.ip),
  ...(findPart(parts, "gateways")?.addresses ?? []).map(({ ip }) => ip),
];

/**
 * CniError 7 for an address that can be no pod's, whoever gave it: one that stays the node's own above all, or is to
 * be; and for one that was given twice.
 */
export function assertOwnable(given: readonly Prefix[], parts: readonly Part[], host: NetlinkSocket): void {
  const gateways = gatewaysOnHost(parts);
  for (const [at, { ip }] of given.entries()) {
    const isNodes = (): boolean => isLocal(host, ip) && !isLeaving(ip, parts, host);
    const what =
      specialKind(ip) ??
      (gateways.some((gateway) => sameIp(gateway, ip))
        ? "also to be the gateway, an address of this node"
        : isNodes()
          ? "an address of this node"
          : undefined);
    if (what !== undefined) {
      throw new CniError(Code.InvalidConfig, `IPAM gave the container ${formatIp(ip)}, which is ${what}`);
    }
    if (given.slice(0, at).some((earlier) => samePrefix(earlier, given[at]!))) {
      throw new CniError(Code.InvalidConfig, `IPAM gave the container ${formatPrefix(given[at]!)} twice`);
    }
  }
}

import { viewOf } from "../../net/bytes.ts";
import { families, type Family, formatIp, type Ip, ipBytes, type Prefix } from "../../net/ip.ts";
import { concatenation, type DatatypeName } from "../../netlink/nftables/object.ts";
import type { PortMapping, PortsPart } from "../attachment.ts";

// Host ports as keys of nftables' maps: which maps there are, and which mapping stands where.

/** The map that decides: by protocol and port for any address of the node, or by address too. */
export const hostPorts = (family: Family, hasAddress: boolean): string =>
  `${hasAddress ? "hostips" : "hostports"}${family}`;
/** The map that has the pod's address and port for the same keys. */
export const targets = (family: Family, hasAddress: boolean): string =>
  `${hasAddress ? "hostip" : "hostport"}targets${family}`;

export const addressType = (family: Family): DatatypeName => `ipv${family}_addr`;
export const keyTypes = (family: Family, hasAddress: boolean): DatatypeName[] => [
  ...(hasAddress ? [addressType(family)] : []),
  "inet_proto",
  "inet_service",
];

/** linux/in.h */
export const protocolNumber = { tcp: 6, udp: 17, sctp: 132 } as const;
export const portBytes = (number: number): Uint8Array => Uint8Array.of(number >> 8, number);

/** The host address a mapping is for, or undefined for every one of the family; 0.0.0.0 and :: mean every one. */
export const hostAddress = ({ hostIp }: Pick<PortMapping, "hostIp">): Ip | undefined =>
  hostIp && hostIp.value !== 0n ? hostIp : undefined;

/** Where the mappings of a host port are found: by protocol and port, and by host address where there is one. */
export function portKey({ protocol, hostPort }: Pick<PortMapping, "protocol" | "hostPort">, address?: Ip): Uint8Array {
  return concatenation(
    ...(address ? [ipBytes(address)] : []),
    Uint8Array.of(protocolNumber[protocol]),
    portBytes(hostPort),
  );
}

/** The mapping an element's key stands for. */
export function decodePortKey(key: Uint8Array): { protocol: number; hostPort: number; address?: Uint8Array } {
  const at = key.length - 8;
  const view = viewOf(key);
  return {
    protocol: view.getUint8(at),
    hostPort: view.getUint16(at + 4),
    ...(at > 0 && { address: key.subarray(0, at) }),
  };
}

/** The address in a target element's data. */
export const decodeTarget = (data: Uint8Array): Uint8Array => data.subarray(0, data.length - 4);

/** What the element of an IPv4 target has in it, by the first bytes of its address: those behind their header. */
export const targetMention = (firstBytes: Uint8Array): Uint8Array =>
  Uint8Array.of(12, 0, 1 /* NFTA_DATA_VALUE */, 0, ...firstBytes);

/**
 * Mappings that concern the pod's address: those for its family, and not for `::1`, which nothing can lead elsewhere.
 */
export const mappingsFor = (address: Prefix, { mappings }: PortsPart): PortMapping[] =>
  mappings.filter(
    ({ hostIp }) => !hostIp || (hostIp.family === address.ip.family && !(hostIp.family === 6 && hostIp.value === 1n)),
  );

/** The map that decides about a mapping, for the pod's address family. */
export const decidingMap = (family: Family, address: Ip | undefined): string =>
  hostPorts(family, address !== undefined);

/** `tcp 8080`, with the host address where there is one. */
export const describePort = ({ protocol, hostPort }: PortMapping, address: Ip | undefined): string =>
  `${protocol} ${hostPort}${address ? ` of ${formatIp(address)}` : ""}`;

/** The maps that decide about mappings; each has one of targets with the same keys. */
export const decidingSets = families.flatMap((family) =>
  [true, false].map((hasAddress) => hostPorts(family, hasAddress)),
);
export const targetSetOf = (deciding: string): string =>
  deciding.replace("hostips", "hostiptargets").replace("hostports", "hostporttargets");

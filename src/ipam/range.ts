import type { Complaint } from "../cni/schema.ts";
import {
  addToIp,
  bits,
  broadcastOf,
  compareIps,
  contains,
  formatIp,
  formatPrefix,
  type Ip,
  isUnspecified,
  networkOf,
  type Prefix,
  sameIp,
  samePrefix,
} from "../net/ip.ts";

/** Addresses to hand out: from `start` to `end`, both included, but for gateways. */
export interface Range {
  subnet: Prefix;
  start: Ip;
  end: Ip;
  gateway: Ip;
}

/** One address per attachment comes from each range set; its ranges are of one family and do not overlap. */
export type RangeSet = Range[];

/** A range as configuration spells it. */
export interface RangeKeys {
  subnet: Prefix;
  rangeStart?: Ip | undefined;
  rangeEnd?: Ip | undefined;
  gateway?: Ip | undefined;
}

/** What is wrong with a range, key by key; none means that `toRange` can be used. */
export function rangeComplaints({ subnet, rangeStart, rangeEnd, gateway }: RangeKeys): Complaint[] {
  const network = networkOf(subnet);
  if (!samePrefix(network, subnet)) {
    return [{ at: "subnet", must: `must not have host bits set: the network is ${formatPrefix(network)}` }];
  }
  // A smaller network has no address besides the network's, the gateway's and the broadcast address
  const longest = bits(subnet.ip.family) - 2;
  if (subnet.length > longest) {
    return [{ at: "subnet", must: `must be large enough to allocate from: its prefix length at most ${longest}` }];
  }
  const inside = (at: string, ip: Ip | undefined): Complaint[] =>
    ip && !contains(subnet, ip) ? [{ at, must: `must be inside the subnet ${formatPrefix(subnet)}` }] : [];
  const complaints = [
    ...(gateway && gateway.family !== subnet.ip.family && !isUnspecified(gateway)
      ? [{ at: "gateway", must: `must be an address of IPv${subnet.ip.family}, as the subnet is` }]
      : []),
    ...inside("rangeStart", rangeStart),
    ...inside("rangeEnd", rangeEnd),
  ];
  const { start, end } = toRange({ subnet, rangeStart, rangeEnd });
  if (complaints.length > 0 || start.value <= end.value) return complaints;
  return [
    {
      at: rangeStart ? "rangeStart" : "rangeEnd",
      must: `must leave a range: it would go from ${formatIp(start)} to ${formatIp(end)}`,
    },
  ];
}

/**
 * The range with what its keys leave out: the first address as gateway and start, the last one (IPv4: before the
 * broadcast address) as end. So it is where they stand on the network's address or IPv4's broadcast address, which are
 * no host's; in IPv6 the former is the routers' (RFC 4291, section 2.6.1), and a node that is the gateway answers for
 * it itself.
 */
export function toRange({ subnet, rangeStart, rangeEnd, gateway }: RangeKeys): Range {
  const first = addToIp(subnet.ip, 1);
  const last = subnet.ip.family === 4 ? addToIp(broadcastOf(subnet), -1) : broadcastOf(subnet);
  return {
    subnet,
    start: rangeStart && !sameIp(rangeStart, subnet.ip) ? rangeStart : first,
    end: rangeEnd && rangeEnd.value < last.value ? rangeEnd : last,
    gateway: gateway ?? first,
  };
}

const between = ({ start, end }: Range, ip: Ip): boolean =>
  start.family === ip.family && start.value <= ip.value && ip.value <= end.value;

/** The range of the set that an address lies in, whether or not it is a gateway. */
export const findRange = (set: RangeSet, ip: Ip): Range | undefined => set.find((range) => between(range, ip));

/** True for the gateway of any range of the set. */
export const isGateway = (set: RangeSet, ip: Ip): boolean => set.some(({ gateway }) => sameIp(gateway, ip));

/** How many addresses the set can hand out. */
export function sizeOf(set: RangeSet): bigint {
  const gateways = new Set(
    set
      .map(({ gateway }) => gateway)
      .filter((gateway) => findRange(set, gateway))
      .map(({ value }) => value),
  );
  return set.reduce((sum, { start, end }) => sum + end.value - start.value + 1n, 0n) - BigInt(gateways.size);
}

const overlap = (a: Range, b: Range): boolean => between(a, b.start) || between(b, a.start);

const formatRange = ({ start, end }: Range): string => `${formatIp(start)}-${formatIp(end)}`;

/** `10.9.0.1-10.9.0.254,10.9.2.1-10.9.2.254`, as the reference prints a set. */
export const formatSet = (set: RangeSet): string => set.map(formatRange).join(",");

/** What is wrong with the sets as wholes, in words. */
export function setComplaints(sets: RangeSet[]): string[] {
  return [...sets.flatMap((set, n) => withinSet(set).map((text) => `range set ${n} ${text}`)), ...overlaps(sets)];
}

/**
 * Ranges that overlap, each with one that starts before it: sorted, so that a configuration of thousands takes no time
 * to speak of.
 */
function overlaps(sets: RangeSet[]): string[] {
  const ranges = sets.flatMap((set, n) => set.map((range) => ({ range, n })));
  ranges.sort((a, b) => compareIps(a.range.start, b.range.start));
  const complaints = new Set<string>();
  let widest = ranges[0];
  for (const next of ranges.slice(1)) {
    if (overlap(widest!.range, next.range)) complaints.add(describeOverlap(widest!, next));
    const reachesFurther =
      next.range.start.family !== widest!.range.start.family || next.range.end.value > widest!.range.end.value;
    if (reachesFurther) widest = next;
  }
  return [...complaints];
}

type Numbered = { range: Range; n: number };

function describeOverlap(a: Numbered, b: Numbered): string {
  if (a.n === b.n) {
    return `range set ${a.n} has ranges ${formatRange(a.range)} and ${formatRange(b.range)} that overlap`;
  }
  return `range set ${Math.min(a.n, b.n)} overlaps with range set ${Math.max(a.n, b.n)}`;
}

function withinSet(set: RangeSet): string[] {
  if (set.length === 0) return ["is empty"];
  if (new Set(set.map(({ subnet }) => subnet.ip.family)).size > 1) return ["mixes address families"];
  return sizeOf(set) <= 0n ? ["has no address but its gateway"] : [];
}

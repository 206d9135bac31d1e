import { IPv4, IPv6, RangedSet } from "ip-num";
import type { LeaseState } from "../ipam/judgement.ts";
import { formatSet, type Range, type RangeSet } from "../ipam/range.ts";
import type { Ip } from "../net/ip.ts";
import { thousands } from "../net/text.ts";
import type { Network } from "./networks.ts";
import type { FoundLease } from "./surveyed.ts";

/** How full the addresses are that a network hands out from one set of ranges. */
export interface Capacity {
  network: string;
  /** `10.9.0.1-10.9.0.254` */
  ranges: string;
  dataDir: string;
  /** how many it can hand out */
  size: bigint;
  leased: number;
  /** those of them whose pods are in that state */
  states: Partial<Record<LeaseState, number>>;
}

/** One for each set of ranges of each network that is configured. */
export const capacitiesOf = (networks: readonly Network[], leases: readonly FoundLease[]): Capacity[] =>
  networks.flatMap(({ name, config: { sets, folder } }) => {
    const own = leases.filter((lease) => lease.folder.network === name && lease.folder.dataDir === folder.dataDir);
    return sets.map((set): Capacity => {
      const spans = set.map(spanOf);
      const inside = own.filter(({ ip }) => spans.some((span) => holds(span, ip)));
      return {
        network: name,
        ranges: formatSet(set),
        dataDir: folder.dataDir,
        size: spans.reduce((sum, span) => sum + span.getSize(), 0n) - gatewaysIn(set, spans),
        leased: inside.length,
        states: countStates(inside),
      };
    });
  });

/** How many leases there are of each state. */
export function countStates(leases: readonly Pick<FoundLease, "state">[]): Capacity["states"] {
  const states: Capacity["states"] = {};
  for (const { state } of leases) states[state] = (states[state] ?? 0) + 1;
  return states;
}

/** In this order they are told. */
export const stateNames: readonly LeaseState[] = ["live", "gone", "unknown", "torn", "unreadable"];

/** "220 live, 12 gone". */
export const describeStates = (states: Capacity["states"]): string =>
  stateNames.flatMap((state) => (states[state] ? [`${thousands(states[state])} ${state}`] : [])).join(", ");

/** How much of it is leased, in whole percent. */
export const percentOf = ({ size, leased }: Pick<Capacity, "size" | "leased">): number =>
  size > 0n ? Number((BigInt(leased) * 100n) / size) : 100;

type Span = RangedSet<IPv4> | RangedSet<IPv6>;

const numberOf = ({ family, value }: Ip): IPv4 | IPv6 => (family === 4 ? new IPv4(value) : new IPv6(value));
const spanOf = ({ start, end }: Range): Span => new RangedSet(numberOf(start), numberOf(end)) as Span;

const isOfFamily = (span: Span, { family }: Ip): boolean => span.bitValue === (family === 4 ? 32n : 128n);
const holds = (span: Span, ip: Ip): boolean =>
  isOfFamily(span, ip) && (span as RangedSet<IPv4>).contains(RangedSet.fromSingleIP(numberOf(ip) as IPv4));

/** Gateways of a set that lie in its ranges are never handed out. */
const gatewaysIn = (set: RangeSet, spans: readonly Span[]): bigint =>
  BigInt(
    new Set(set.filter(({ gateway }) => spans.some((span) => holds(span, gateway))).map(({ gateway }) => gateway.value))
      .size,
  );

const meet = (a: Span, b: Span): boolean => {
  if (a.bitValue !== b.bitValue) return false;
  const [one, other] = [a, b] as [RangedSet<IPv4>, RangedSet<IPv4>];
  return one.contains(other) || one.inside(other) || one.isOverlapping(other);
};

/** A pair of networks that hand out the same addresses. */
export interface Overlap {
  one: Pick<Network, "name" | "file">;
  other: Pick<Network, "name" | "file">;
  /** the first one's range */
  range: string;
}

/** Each two ranges of different networks that share addresses. */
export function findOverlaps(networks: readonly Network[]): Overlap[] {
  const ranges = networks.flatMap(({ name, file, config }) =>
    config.sets.flat().map((range) => ({ name, file, span: spanOf(range) })),
  );
  return ranges.flatMap((one, at) =>
    ranges
      .slice(at + 1)
      .filter((other) => other.name !== one.name && meet(one.span, other.span))
      .map((other) => ({ one, other, range: one.span.toRangeString() })),
  );
}

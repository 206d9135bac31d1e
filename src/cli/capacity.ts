import { IPv4, IPv6, RangedSet } from "ip-num";
import { CniError, messageOf } from "../cni/error.ts";
import { isObject } from "../cni/schema.ts";
import { type HostLocalConfig, isHostLocal, parseIpamConfig } from "../ipam/config.ts";
import type { Lease } from "../ipam/judgement.ts";
import type { LeaseFolder } from "../ipam/lease-folder.ts";
import { formatSet, type Range, type RangeSet } from "../ipam/range.ts";
import { namesIn, readText } from "../kernel/file.ts";
import type { Ip } from "../net/ip.ts";
import { parseDocument } from "../protocol/config.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { thousands } from "./terminal.ts";

/** A network of this node's configurations whose addresses host-local hands out. */
export interface Network {
  name: string;
  file: string;
  config: HostLocalConfig;
}

/** The networks configured in a folder, and what is wrong with files there, in words. */
export function readNetworks(folder: string): { networks: Network[]; problems: string[] } {
  const networks: Network[] = [];
  const problems: string[] = [];
  const files = namesIn(folder).filter((name) => /\.(conflist|conf|json)$/.test(name));
  for (const file of files.toSorted()) {
    try {
      networks.push(...networksOf(file, parseDocument(encodeUtf8(readText(`${folder}/${file}`)))));
    } catch (error) {
      const details = error instanceof CniError && error.details ? `: ${error.details}` : "";
      problems.push(`${folder}/${file}: ${messageOf(error)}${details}`);
    }
  }
  return { networks, problems };
}

/** A configuration list has its plugins in `plugins`; a single plugin's configuration is its own. */
function networksOf(file: string, json: Record<string, unknown>): Network[] {
  const plugins = Array.isArray(json["plugins"]) ? json["plugins"] : [json];
  return plugins.filter(isObject).flatMap((plugin) => {
    const { ipam } = plugin;
    if (!isObject(ipam) || !isHostLocal(ipam["type"])) return [];
    const name = String(json["name"] ?? "");
    const config = { cniVersion: json["cniVersion"] ?? "1.0.0", ...plugin };
    return [{ name, file, config: parseIpamConfig({ config, network: name, args: "", verb: "CHECK" }) }];
  });
}

/** One line a range set: how full it is; then one for each two ranges of different networks that share addresses. */
export const describeCapacity = (
  networks: readonly Network[],
  leasesOf: (folder: LeaseFolder, name: string) => readonly Lease[],
): string[] => [
  ...networks.flatMap(({ name, config: { sets, folder } }) => {
    const leases = leasesOf(folder, name);
    return sets.map((set) => describeSet(name, set, leases));
  }),
  ...describeOverlaps(networks),
];

function describeSet(name: string, set: RangeSet, leases: readonly Lease[]): string {
  const spans = set.map(spanOf);
  const size = spans.reduce((sum, span) => sum + span.getSize(), 0n) - gatewaysIn(set, spans);
  const inside = leases.filter(({ ip }) => spans.some((span) => holds(span, ip)));
  const gone = inside.filter(({ state }) => state === "gone").length;
  const percent = size > 0n ? (BigInt(inside.length) * 100n) / size : 100n;
  return (
    `${name} ${formatSet(set)}: ${inside.length} of ${count(size)} leased (${percent} %)` +
    (gone > 0 ? `, ${gone} by pods that are gone` : "")
  );
}

/** More addresses than anybody counts. */
const COUNTLESS = 1n << 40n;

const count = (size: bigint): string => (size > COUNTLESS ? `some 2^${size.toString(2).length}` : thousands(size));

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

function describeOverlaps(networks: readonly Network[]): string[] {
  const ranges = networks.flatMap(({ name, file, config }) =>
    config.sets.flat().map((range) => ({ name, file, span: spanOf(range) })),
  );
  return ranges.flatMap((one, at) =>
    ranges
      .slice(at + 1)
      .filter((other) => other.name !== one.name && meet(one.span, other.span))
      .map(
        (other) =>
          `warning: ${one.name} (${one.file}) and ${other.name} (${other.file}) both hand out addresses of ` +
          `${one.span.toRangeString()}`,
      ),
  );
}

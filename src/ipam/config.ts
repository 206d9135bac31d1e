import { readArguments } from "../cni/arguments.ts";
import { Code, CniError } from "../cni/error.ts";
import { ip, prefix, route } from "../cni/fields.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { ResultRoute } from "../cni/result.ts";
import { parseConfig, parseLeniently } from "../cni/reading.ts";
import {
  type Complaint,
  decoded,
  type Infer,
  list,
  optional,
  optionalOrEmpty,
  orElse,
  type Schema,
  shape,
  text,
} from "../cni/schema.ts";
import { type Ip, parseIp, parsePrefix } from "../net/ip.ts";
import type { LeaseFolder } from "./lease-folder.ts";
import { rangeComplaints, type RangeSet, setComplaints, toRange } from "./range.ts";
import type { Request } from "./requests.ts";

/** What host-local reads of a configuration and CNI_ARGS, checked. */
export interface HostLocalConfig {
  folder: LeaseFolder;
  /** one address is leased from each */
  sets: RangeSet[];
  routes: ResultRoute[];
  /** path of a file, "" for none */
  resolvConf: string;
  requests: Request[];
}

/** Where leases are when `ipam.dataDir` says nothing. */
export const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

/** True for the IPAM plugin that is part of this executable; `podwire` is another name for it. */
export const isHostLocal = (type: unknown): boolean => type === "host-local" || type === "podwire";

const bounds = { rangeStart: optionalOrEmpty(ip), rangeEnd: optionalOrEmpty(ip), gateway: optionalOrEmpty(ip) };
const rangeSets = list(list(shape({ subnet: prefix, ...bounds }, rangeComplaints)));

/** `10.1.0.5` or `10.1.0.5/16`: the length says nothing, the subnet's counts. */
const parseRequested = (value: string): Ip | undefined => parsePrefix(value)?.ip ?? parseIp(value);
const requested = orElse(
  list(decoded<Ip>((value) => (typeof value === "string" ? parseRequested(value) : undefined), "an IP address")),
  [],
);

const path = text("a path (no NUL in it)", (value) => !value.includes("\0"));

const keys = {
  ipam: shape(
    {
      subnet: optional(prefix),
      ...bounds,
      ranges: orElse(rangeSets, []),
      routes: orElse(list(route), []),
      dataDir: orElse(path, ""),
      resolvConf: orElse(path, ""),
    },
    ({ subnet, ...others }) => (subnet ? rangeComplaints({ subnet, ...others }) : []),
  ),
  runtimeConfig: orElse(shape({ ipRanges: orElse(rangeSets, []), ips: requested }), { ipRanges: [], ips: [] }),
  args: orElse(shape({ cni: orElse(shape({ ips: requested }), { ips: [] }) }), { cni: { ips: [] } }),
  cniVersion: orElse(text(), ""),
};

type Keys = Infer<ReturnType<typeof shape<typeof keys>>>;

/** The runtime's sets come first, then the one of the old keys beside `ranges`, then `ranges`. */
function setsOf({ ipam, runtimeConfig }: Pick<Keys, "ipam" | "runtimeConfig">): RangeSet[] {
  const { subnet, ...others } = ipam;
  return [...runtimeConfig.ipRanges, ...(subnet ? [[{ subnet, ...others }]] : []), ...ipam.ranges].map((set) =>
    set.map(toRange),
  );
}

/** Versions 0.1.0 and 0.2.0, and their default "", have one place for an address of each family in their results. */
export const oneAddressVersions = ["", "0.1.0", "0.2.0"];

function wholeComplaints(
  { ipam, runtimeConfig, cniVersion }: Pick<Keys, "ipam" | "runtimeConfig" | "cniVersion">,
  wrong: ReadonlySet<string>,
): Complaint[] {
  if (wrong.size > 0) return []; // the ranges, or the version, are not all there
  const sets = setsOf({ ipam, runtimeConfig });
  if (sets.length === 0) {
    return [{ at: "ipam", must: "must have address ranges: no IP ranges specified (`ranges` or `subnet`)" }];
  }
  const complaints = setComplaints(sets);
  const families = sets.map((set) => set[0]?.subnet.ip.family);
  if (oneAddressVersions.includes(cniVersion) && new Set(families).size < families.length) {
    complaints.push(`CNI version ${cniVersion || "0.1.0"} does not support more than 1 address per family`);
  }
  return complaints.map((text) => ({ at: "ipam", must: `must have sound address ranges: ${text}` }));
}

const wholeConfig = shape(keys, wholeComplaints);
/** What host-local reads of a configuration. */
export const ipamSchema: Schema = wholeConfig;
/** What those read who have a record of the attachment there, and no leases. */
export const folderSchema = shape({ ipam: orElse(shape({ dataDir: orElse(path, "") }), { dataDir: "" }) });

/** Everything host-local needs for ADD, CHECK and STATUS; throws CniError 7 (configuration) or 4 (CNI_ARGS). */
export function parseIpamConfig(call: Pick<Invocation, "args" | "config" | "network" | "verb">): HostLocalConfig {
  const config = parseConfig(wholeConfig, call.config);
  const { IP: argument = "" } = readArguments(call, ["IP"]);
  const fromArguments = argument === "" ? undefined : parseRequested(argument);
  if (argument !== "" && !fromArguments) {
    throw new CniError(Code.InvalidEnvironment, `CNI_ARGS IP is ${JSON.stringify(argument)}, must be an IP address`);
  }
  return {
    folder: folderOf(config.ipam.dataDir, call.network),
    sets: setsOf(config),
    routes: config.ipam.routes,
    resolvConf: config.ipam.resolvConf,
    requests: [
      ...(fromArguments ? [{ ip: fromArguments, from: "CNI_ARGS IP" }] : []),
      ...config.args.cni.ips.map((ip, i) => ({ ip, from: `args.cni.ips[${i}]` })),
      ...config.runtimeConfig.ips.map((ip, i) => ({ ip, from: `runtimeConfig.ips[${i}]` })),
    ],
  };
}

/** Where the leases are, from a configuration that need not be valid otherwise: all that DEL and GC need. */
export function parseLeaseFolder(call: Pick<Invocation, "config" | "network">): LeaseFolder {
  const { value } = parseLeniently(folderSchema, call.config);
  return folderOf(value.ipam.dataDir, call.network);
}

const folderOf = (dataDir: string, network: string): LeaseFolder => ({
  dataDir: dataDir.replace(/(?<=.)\/+$/, "") || DEFAULT_DATA_DIR,
  network,
});

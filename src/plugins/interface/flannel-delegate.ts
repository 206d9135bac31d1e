import { show } from "../../cni/complaint.ts";
import { CniError, Code } from "../../cni/error.ts";
import { route } from "../../cni/fields.ts";
import type { JsonObject } from "../../cni/invocation.ts";
import { parseConfig } from "../../cni/reading.ts";
import { anything, decoded, type Infer, isObject, list, optional, orElse, shape, text } from "../../cni/schema.ts";
import { formatIp, formatPrefix, networkOf, parsePrefix, type Prefix, samePrefix } from "../../net/ip.ts";

// From flannel's configuration and the file flanneld writes to the configuration of the plugin that wires the pod.

const DELEGATE = "an object without name and ipam, which flannel sets, and with a type that is text if there is one";
/** What a plugin other than flannel is given: its keys are its own, as they are written. */
const delegate = decoded<JsonObject>(
  (value) =>
    isObject(value) &&
    !("name" in value) &&
    !("ipam" in value) &&
    ["string", "undefined"].includes(typeof value["type"])
      ? value
      : undefined,
  DELEGATE,
);
const object = decoded<JsonObject>((value) => (isObject(value) ? value : undefined), "an object");

export const flannelConfig = shape({
  subnetFile: orElse(text("a path", isPath), "/run/flannel/subnet.env"),
  dataDir: orElse(text("a path", isPath), "/var/lib/cni/flannel"),
  delegate: optional(delegate),
  ipam: optional(object),
  runtimeConfig: optional(object),
  prevResult: optional(anything()),
});
export type FlannelConfig = Infer<typeof flannelConfig>;

function isPath(path: string): boolean {
  return path !== "" && !path.includes("\0");
}

/** What flanneld says of this node. */
export interface SubnetEnv {
  networks: Prefix[];
  subnets: Prefix[];
  mtu: number;
  ipMasq: boolean;
}

const NETWORKS = ["FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"];
const SUBNETS = ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"];
const MTU = "FLANNEL_MTU";
const IPMASQ = "FLANNEL_IPMASQ";

/**
 * Lines `NAME=value`, as flanneld writes them: of one name the last counts, others are passed over. CniError 7 for a
 * wrong value, 11 where something is missing: flanneld may be writing it.
 */
export function parseSubnetEnv(content: string, path: string): SubnetEnv {
  const values = new Map<string, string>();
  for (const line of content.split("\n").map((each) => each.replace(/\r$/, ""))) {
    const at = line.indexOf("=");
    const name = at < 0 ? line : line.slice(0, at);
    if (![...NETWORKS, ...SUBNETS, MTU, IPMASQ].includes(name)) continue;
    if (at < 0) throw unusable(`${path}: ${name} has no value`, Code.InvalidConfig);
    values.set(name, line.slice(at + 1));
  }
  const has = (names: string[]): boolean => names.some((name) => values.has(name));
  const missing = [NETWORKS, SUBNETS, [MTU], [IPMASQ]].filter((names) => !has(names)).flat();
  if (missing.length > 0) throw unusable(`${path} is missing ${missing.join(", ")}`, Code.TryAgainLater);
  const prefixes = (names: string[], isList: boolean): Prefix[] =>
    names
      .filter((name) => values.has(name))
      .flatMap((name) =>
        (isList ? values.get(name)!.split(",") : [values.get(name)!]).map((each) => prefixOf(name, each)),
      );
  const networks = prefixes(NETWORKS, true);
  const mtu = values.get(MTU)!;
  if (!/^\d{1,10}$/.test(mtu) || Number(mtu) > 0xffff_ffff) {
    throw unusable(
      `${path}: ${MTU} is ${show(mtu)}, must be a whole number from 0 to ${0xffff_ffff}`,
      Code.InvalidConfig,
    );
  }
  return {
    networks: networks.filter((one, at) => networks.findIndex((other) => samePrefix(one, other)) === at),
    subnets: prefixes(SUBNETS, false),
    mtu: Number(mtu),
    ipMasq: values.get(IPMASQ) === "true",
  };

  function prefixOf(name: string, value: string): Prefix {
    const prefix = parsePrefix(value);
    const family = name.includes("IPV6") ? 6 : 4;
    if (prefix?.ip.family === family) return networkOf(prefix);
    throw unusable(`${path}: ${name} is ${show(value)}, must be IPv${family} with a prefix length`, Code.InvalidConfig);
  }
}

/** An error about the file, in the frame that people who run flannel know. */
export const unusable = (what: string, code: number): CniError =>
  new CniError(code, `failed to load flannel 'subnet.env' file: ${what}. Check the flannel pod log for this node.`);

/**
 * The configuration of the plugin that wires the pod. Without `env`, which no removal needs, it says no more than whose
 * the attachment is and where its lease may be.
 */
export function planDelegate(
  { delegate: base = {}, ipam = {}, runtimeConfig }: FlannelConfig,
  { network, cniVersion }: { network: string; cniVersion: string },
  env?: SubnetEnv,
): JsonObject & { type: string } {
  const type = typeof base["type"] === "string" ? base["type"] : "bridge";
  const defaults = env && { ipMasq: !env.ipMasq, mtu: env.mtu, ...(type === "bridge" && { isGateway: true }) };
  return {
    ...defaults,
    ...base,
    ...(runtimeConfig && { runtimeConfig }),
    type,
    name: network,
    cniVersion,
    ipam: { type: "host-local", ...ipam, ...(env && rangesAndRoutes(ipam, env)) },
  };
}

const routeList = list(route);

/** A range of each family, and a route to each of flannel's networks after those that were written. */
function rangesAndRoutes(ipam: JsonObject, { networks, subnets }: SubnetEnv): JsonObject {
  const own = parseConfig(routeList, ipam["routes"] ?? [], "ipam.routes");
  return {
    ranges: subnets.map((subnet) => [{ subnet: formatPrefix(subnet) }]),
    routes: [
      ...own.map(({ dst, gw, ...rest }) => ({ dst: formatPrefix(dst), ...(gw && { gw: formatIp(gw) }), ...rest })),
      ...networks.map((dst) => ({ dst: formatPrefix(dst) })),
    ],
  };
}

/** JSON on one line with its keys sorted, as the reference writes it. */
export const printSorted = (value: unknown): string =>
  JSON.stringify(value, (_key, item: unknown) =>
    isObject(item) ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item,
  );

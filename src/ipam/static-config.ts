import { readArguments } from "../cni/arguments.ts";
import { show } from "../cni/complaint.ts";
import { CniError, Code } from "../cni/error.ts";
import { dns, ip, prefix, route, toDns } from "../cni/fields.ts";
import type { Invocation } from "../cni/invocation.ts";
import { readConfig } from "../cni/reading.ts";
import type { Addressing, ResultIp } from "../cni/result.ts";
import { type Infer, list, optional, optionalOrEmpty, orElse, shape } from "../cni/schema.ts";
import { contains, type Ip, networkOf, parseIp, parsePrefix, type Prefix } from "../net/ip.ts";
import { oneAddressVersions } from "./config.ts";

const requested = orElse(list(prefix), []);

/** What static reads of a configuration. */
export const staticSchema = shape({
  ipam: shape({
    addresses: orElse(list(shape({ address: prefix, gateway: optionalOrEmpty(ip) })), []),
    routes: orElse(list(route), []),
    dns: optional(dns),
  }),
  runtimeConfig: orElse(shape({ ips: requested }), { ips: [] }),
  args: orElse(shape({ cni: orElse(shape({ ips: requested }), { ips: [] }) }), { cni: { ips: [] } }),
});

type StaticConfig = Infer<typeof staticSchema>;

/**
 * What a configuration with `ipam.type` static gives, in order: the addresses of `runtimeConfig.ips`, else those of
 * `args.cni.ips`, else the configured ones and CNI_ARGS'. CniError 7 or 4 for what is wrong.
 */
export function parseStatic(call: Pick<Invocation, "args" | "config" | "cniVersion" | "log" | "verb">): Addressing {
  const config = readConfig(staticSchema, call, {
    may: ["ipam.addresses"],
    are: (read) => (askedOf(read) ? ["ipam.addresses"] : []),
  });
  const ips = addressesOf(config, fromArguments(call));
  const families = ips.map(({ address }) => address.ip.family);
  if (oneAddressVersions.includes(call.cniVersion) && new Set(families).size < families.length) {
    throw new CniError(
      Code.InvalidConfig,
      `invalid configuration: ipam.addresses: CNI version ${call.cniVersion} does not support more than 1 address ` +
        `per family`,
    );
  }
  return { ips, routes: config.ipam.routes, dns: toDns(config.ipam.dns) };
}

/** What is asked for in place of the configured addresses. */
const askedOf = ({ args, runtimeConfig }: StaticConfig): Prefix[] | undefined =>
  [runtimeConfig.ips, args.cni.ips].find(({ length }) => length > 0);

const addressesOf = (config: StaticConfig, more: ResultIp[]): ResultIp[] =>
  askedOf(config)?.map((address) => ({ address })) ?? [...config.ipam.addresses, ...more];

/** `IP` and `GATEWAY` of CNI_ARGS, lists with commas; a gateway is that of every address in whose subnet it is. */
function fromArguments(call: Pick<Invocation, "args" | "verb">): ResultIp[] {
  const { IP = "", GATEWAY = "" } = readArguments(call, ["IP", "GATEWAY"]);
  const addresses = split<Prefix>(IP, parsePrefix, "IP", "addresses with prefix lengths, such as 10.1.0.5/16");
  const gateways = split<Ip>(GATEWAY, parseIp, "GATEWAY", "IP addresses");
  return addresses.map((address) => {
    const gateway = gateways.findLast(
      (each) => each.family === address.ip.family && contains(networkOf(address), each),
    );
    return { address, ...(gateway && { gateway }) };
  });
}

function split<T>(text: string, parse: (word: string) => T | undefined, name: string, must: string): T[] {
  return (text === "" ? [] : text.split(",")).map((word) => {
    const value = parse(word.trim());
    if (value !== undefined) return value;
    throw new CniError(Code.InvalidEnvironment, `invalid CNI_ARGS: ${name} has ${show(word)}, must be ${must}`);
  });
}

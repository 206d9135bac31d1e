import { formatIp, formatPrefix, type Family } from "../net/ip.ts";
import { Code, CniError } from "../cni/error.ts";
import { dns, ip, prefix, route, toDns } from "../cni/fields.ts";
import { printJson } from "../cni/json.ts";
import type { Dns, Result, ResultRoute } from "../cni/result.ts";
import { parseAs, type Subject } from "../cni/reading.ts";
import { integer, list, optional, optionalOrEmpty, orElse, shape, text } from "../cni/schema.ts";
import { assertConvertible, isSupported, resultFamily, type Version, versions } from "../cni/versions.ts";

/** An absent field: JSON.stringify leaves out keys whose value is undefined. */
const orAbsent = <T>(value: T): T | undefined => (value ? value : undefined);
const listOrAbsent = <T>(items: T[]): T[] | undefined => (items.length > 0 ? items : undefined);

/** The result as text in the form of `version`; 0.1.0 and 0.2.0 need at least one address. */
export function encodeResult(result: Result, version: Version): string {
  const family = resultFamily(version);
  const body =
    family === "current"
      ? current(result, version)
      : family === "versioned-ips"
        ? versionedIps(result)
        : ip4Ip6(result, version);
  return printJson({ cniVersion: version, ...body });
}

/** 1.0.0 and 1.1.0: keys in alphabetical order, no empty `dns`. `mtu` of an interface came with 1.1.0. */
const current = (result: Result, version: Version) => ({
  dns: Object.values(dnsParts(result.dns)).some(Boolean) ? sortKeys(dnsParts(result.dns)) : undefined,
  interfaces: listOrAbsent(
    result.interfaces.map(({ name, mac, mtu, pciID, sandbox, socketPath }) => ({
      mac: orAbsent(mac),
      mtu: version === "1.0.0" ? undefined : orAbsent(mtu),
      name,
      pciID: orAbsent(pciID),
      sandbox: orAbsent(sandbox),
      socketPath: orAbsent(socketPath),
    })),
  ),
  ips: listOrAbsent(
    result.ips.map((one) => ({
      address: formatPrefix(one.address),
      gateway: one.gateway && formatIp(one.gateway),
      interface: one.interface,
    })),
  ),
  routes: listOrAbsent(result.routes.map((one) => sortKeys(routeParts(one)))),
});

/** 0.3.0 to 0.4.0: each address says its family, `dns` is always there. */
const versionedIps = (result: Result) => ({
  interfaces: listOrAbsent(
    result.interfaces.map(({ name, mac, sandbox }) => ({ name, mac: orAbsent(mac), sandbox: orAbsent(sandbox) })),
  ),
  ips: listOrAbsent(
    result.ips.map(({ address, gateway, interface: index }) => ({
      version: String(address.ip.family),
      interface: index,
      address: formatPrefix(address),
      gateway: gateway && formatIp(gateway),
    })),
  ),
  routes: listOrAbsent(result.routes.map(routeParts)),
  dns: dnsParts(result.dns),
});

/** 0.1.0 and 0.2.0: the first address of each family, with the family's routes; no interfaces. */
function ip4Ip6(result: Result, version: Version) {
  assertConvertible(version, { hasIps: result.ips.length > 0 });
  const entry = (family: Family) => {
    const first = result.ips.find(({ address }) => address.ip.family === family);
    if (!first) return undefined;
    const routes = result.routes
      .filter(({ dst }) => dst.ip.family === family)
      .map(({ dst, gw }) => ({ dst: formatPrefix(dst), gw: gw && formatIp(gw) }));
    return {
      ip: formatPrefix(first.address),
      gateway: first.gateway && formatIp(first.gateway),
      routes: listOrAbsent(routes),
    };
  };
  return { ip4: entry(4), ip6: entry(6), dns: dnsParts(result.dns) };
}

const routeParts = ({ dst, gw, mtu, advmss, priority, table, scope }: ResultRoute) => ({
  dst: formatPrefix(dst),
  gw: gw && formatIp(gw),
  mtu: orAbsent(mtu),
  advmss: orAbsent(advmss),
  priority: orAbsent(priority),
  table,
  scope,
});

const dnsParts = ({ nameservers, domain, search, options }: Dns) => ({
  nameservers: listOrAbsent(nameservers),
  domain: orAbsent(domain),
  search: listOrAbsent(search),
  options: listOrAbsent(options),
});

const sortKeys = (value: object): object =>
  Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));

/**
 * The `prevResult` of a configuration of the given version. What it says of its own version must be of the same family:
 * a runtime hands on what it was given, it does not convert.
 */
export function decodePrevResult(json: unknown, version: Version): Result {
  const own = ownVersion(json, prevResult);
  const written = own === "" && resultFamily(version) === "ip4-ip6" ? version : (own ?? version);
  const family = versions.filter((one) => resultFamily(one) === resultFamily(version));
  if (!family.includes(written as Version)) {
    const allowed = family.map((one) => `"${one}"`).join(", ");
    throw new CniError(
      Code.InvalidConfig,
      `invalid configuration: prevResult.cniVersion is ${JSON.stringify(written)}, ` +
        `must be one of ${allowed}, as the configuration's is "${version}"`,
    );
  }
  return decode(json, version, prevResult);
}

/** The answer of a delegated plugin, of whatever version it says it is (the configuration's when it says none). */
export function decodeDelegateResult(json: unknown, version: Version, plugin: string): Result {
  const subject = { code: Code.Decode, what: `result of plugin "${plugin}"`, root: "" };
  const written = ownVersion(json, subject) || version;
  if (!isSupported(written)) {
    throw new CniError(
      Code.Decode,
      `unsupported CNI result version ${JSON.stringify(written)} from plugin "${plugin}"`,
    );
  }
  return decode(json, written, subject);
}

const prevResult: Subject = { code: Code.InvalidConfig, what: "configuration", root: "prevResult" };

const versionAlone = shape({ cniVersion: optional(text()) });

const ownVersion = (json: unknown, subject: Subject): string | undefined =>
  parseAs(versionAlone, json, subject).cniVersion;

const decode = (json: unknown, version: Version, subject: Subject): Result =>
  resultFamily(version) === "ip4-ip6" ? decodeOld(json, subject) : decodeNew(json, subject);

const word = optionalOrEmpty(text());
const number = optional(integer());
/** A negative one, as one beyond the list, is no interface of it: the address is nobody's in particular. */
const index = optional(integer(-0x8000_0000, 0x7fff_ffff));
const resultInterface = shape({
  name: orElse(text(), ""),
  mac: word,
  mtu: number,
  sandbox: word,
  socketPath: word,
  pciID: word,
});
const routes = orElse(list(route), []);
const gateway = optionalOrEmpty(ip);
const newResult = shape({
  interfaces: orElse(list(resultInterface), []),
  ips: orElse(list(shape({ address: prefix, gateway, interface: index })), []),
  routes,
  dns: optional(dns),
});

function decodeNew(json: unknown, subject: Subject): Result {
  const value = parseAs(newResult, json, subject);
  return { ...value, dns: toDns(value.dns) };
}

const entry = optional(shape({ ip: prefix, gateway, routes }));
const oldResult = shape({ ip4: entry, ip6: entry, dns: optional(dns) });

function decodeOld(json: unknown, subject: Subject): Result {
  const { ip4, ip6, dns: written } = parseAs(oldResult, json, subject);
  const entries = [ip4, ip6].filter((one) => one !== undefined);
  const ips = entries.map(({ ip: address, gateway }) => ({ address, ...(gateway && { gateway }) }));
  return { interfaces: [], ips, routes: entries.flatMap(({ routes }) => routes), dns: toDns(written) };
}

import { bits, type Ip, parseIp, parsePrefix, type Prefix } from "../net/ip.ts";
import { OWN_MAC, parseOwnMac } from "../net/mac.ts";
import type { Dns } from "./result.ts";
import { decoded, type Infer, integer, list, optional, optionalOrEmpty, shape, text } from "./schema.ts";

const fromText =
  <T>(parse: (text: string) => T | undefined) =>
  (value: unknown): T | undefined =>
    typeof value === "string" ? parse(value) : undefined;

/** An address; `optionalOrEmpty(ip)` for gateways, whose empty string means that there is none. */
export const ip = decoded<Ip>(fromText(parseIp), "an IP address");
const NO_PREFIX = "an address with a prefix length, such as 10.1.0.0/16 or fd00::/64";
/** An address with its prefix length; host bits are kept. */
export const prefix = decoded<Prefix>(fromText(parsePrefix), (value) => {
  if (typeof value !== "string") return NO_PREFIX;
  const ip = parseIp(value.slice(0, value.lastIndexOf("/")));
  return ip && value.includes(":") === (ip.family === 6)
    ? `an address with a prefix length from 0 to ${bits(ip.family)}`
    : NO_PREFIX;
});
/** The MAC address of a link, in any notation Go parses, as canonical text. */
export const mac = decoded<string>(fromText(parseOwnMac), OWN_MAC);

const signed = (max = 0xffff_ffff) => integer(-0x8000_0000, max);

/** A route of a configuration or result: a ResultRoute. */
export const route = shape({
  dst: prefix,
  gw: optionalOrEmpty(ip),
  // signed in Go: a negative one is reported, as the reference does, and not installed
  mtu: optional(signed()),
  advmss: optional(signed()),
  priority: optional(signed()),
  table: optional(signed()),
  scope: optional(signed(255)),
});

const texts = optional(list(text()));

/** The `dns` object of a configuration or result. */
export const dns = shape({ nameservers: texts, domain: optional(text()), search: texts, options: texts });

/** The `dns` object with what is absent filled in. */
export const toDns = (written: Infer<typeof dns> = {}): Dns => ({
  nameservers: [],
  domain: "",
  search: [],
  options: [],
  ...written,
});

/**
 * The DNS a configuration puts in place of IPAM's, or undefined where it says nothing; an empty list does say
 * something.
 */
export function overridingDns(written: Infer<typeof dns> | undefined): Dns | undefined {
  const says = written && (written.nameservers || written.search || written.options || written.domain);
  return says ? toDns(written) : undefined;
}

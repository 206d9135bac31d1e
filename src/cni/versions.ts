import { Code, CniError } from "./error.ts";

/** Every version of the specification podwire speaks, oldest first. */
export const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type Version = (typeof versions)[number];
export const newest: Version = "1.1.0";

/** What a configuration without `cniVersion` means. */
export const oldest: Version = "0.1.0";

export const isSupported = (version: unknown): version is Version => versions.includes(version as Version);

/** True when `version` is `other` or came after it. */
export const isAtLeast = (version: Version, other: Version): boolean =>
  versions.indexOf(version) >= versions.indexOf(other);

/** The shape of results: three of them came and went. */
export type ResultFamily = "ip4-ip6" | "versioned-ips" | "current";

export const resultFamily = (version: Version): ResultFamily =>
  isAtLeast(version, "1.0.0") ? "current" : isAtLeast(version, "0.3.0") ? "versioned-ips" : "ip4-ip6";

/**
 * The specification version of a configuration or result whose `cniVersion` was `written`; absent and "" are 0.1.0.
 * Throws code 1.
 */
export function parseVersion(written: string | undefined): Version {
  const version = written || oldest;
  if (isSupported(version)) return version;
  const supported = versions.map((one) => `"${one}"`).join(" ");
  throw new CniError(
    Code.IncompatibleVersion,
    "incompatible CNI versions",
    `config is "${version}", plugin supports [${supported}]`,
  );
}

const verbSince: Record<string, Version> = { CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" };

/** Throws code 1 when the configuration's version does not know the verb yet. */
export function assertVerbAllowed(verb: string, version: Version): void {
  const since = verbSince[verb];
  if (since && !isAtLeast(version, since)) {
    throw new CniError(
      Code.IncompatibleVersion,
      `config version does not allow ${verb}`,
      `cniVersion is "${version}", ${verb} came with "${since}"`,
    );
  }
}

/**
 * Throws before anything is done where the result could not be printed afterwards: 0.1.0 and 0.2.0 have no form without
 * an address.
 */
export function assertConvertible(version: string, { hasIps }: { hasIps: boolean }): void {
  if (!hasIps && isSupported(version) && resultFamily(version) === "ip4-ip6") {
    throw new CniError(
      Code.IncompatibleVersion,
      `cannot convert: no valid IP addresses: a result of cniVersion "${version}" needs at least one`,
    );
  }
}

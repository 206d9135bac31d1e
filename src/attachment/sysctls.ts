import { CniError, Code, messageOf } from "../cni/error.ts";
import type { Log } from "../cni/log.ts";
import { isErrno } from "../kernel/system-error.ts";
import { ensureSysctl, findSysctl, writeSysctlIfKnown } from "../kernel/sysctl.ts";
import type { Sysctl } from "./attachment.ts";
import type { Step } from "./kind.ts";

/** Writes them in the current network namespace. */
export function applySysctls(sysctls: readonly Sysctl[], log: Log): void {
  for (const { path, value, optional } of sysctls) {
    if (optional) trySysctl({ path, value }, log);
    else requireSysctl(path, value);
  }
}

/**
 * Writes a sysctl unless it reads so; CniError 7 where the kernel has no IPv6 for the link it is of, 5 where it may not
 * be written.
 */
export function requireSysctl(path: string, value: string): void {
  try {
    ensureSysctl(path, value);
  } catch (error) {
    if (isErrno(error, "EROFS", "EPERM", "EACCES")) {
      const name = path.replaceAll("/", ".");
      throw new CniError(Code.Io, `sysctl ${name} must be ${value}, and podwire may not write it`, messageOf(error));
    }
    const [, , , link] = path.split("/");
    if (!(isErrno(error, "ENOENT") && path.startsWith("net/ipv6/"))) throw error;
    throw new CniError(
      Code.InvalidConfig,
      link === "all"
        ? "IPAM gave IPv6 addresses: this kernel has no IPv6"
        : `IPAM gave IPv6 addresses: link ${link} has no IPv6: the kernel has none, or the link's MTU is below 1280`,
      messageOf(error),
    );
  }
}

/**
 * Writes a sysctl a pod can do without: one the kernel does not know is passed over, and so is, with a warning, one
 * that may not be written (/proc/sys of a rootless or nested node is read-only) and reads otherwise.
 */
export function trySysctl({ path, value }: Pick<Sysctl, "path" | "value">, log: Log): void {
  try {
    writeSysctlIfKnown(path, value);
  } catch (error) {
    if (!isErrno(error, "EROFS", "EPERM", "EACCES")) throw error;
    if (findSysctl(path) !== value) log.warn(`sysctl ${path} stays as it is, not ${value}: ${error.message}`);
  }
}

/** That the kernel takes no router's word on a link of the host: the pod behind it must not configure the host. */
export const acceptNoRouter = (link: string): Sysctl => ({
  path: `net/ipv6/conf/${link}/accept_ra`,
  value: "0",
  optional: true,
});

/**
 * What makes them read as they should, optional ones too; `enter` runs what it is given in the namespace they are of.
 */
export const mendSysctls = (
  sysctls: readonly Sysctl[],
  log: Log,
  enter: <T>(use: () => T) => T = (use) => use(),
): Step[] =>
  enter(() => sysctls.filter(({ path, value }) => ![value, undefined].includes(findSysctl(path)))).map((sysctl) => ({
    what: `set ${sysctl.path.replaceAll("/", ".")} to ${sysctl.value}`,
    run: () => enter(() => applySysctls([sysctl], log)),
  }));

/** Those that read otherwise, in words; optional ones are nobody's promise. */
export const compareSysctls = (sysctls: readonly Sysctl[]): string[] =>
  sysctls
    .filter(({ path, value, optional }) => !optional && findSysctl(path) !== value)
    .map(({ path, value }) => `${path} is not ${value}`);

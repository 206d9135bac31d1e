import { CniError, Code } from "../../cni/error.ts";
import { findSysctl, writeSysctl } from "../../kernel/sysctl.ts";
import { isErrno, stat, SystemError } from "../../kernel/linux.ts";
import type { TunedSysctl } from "../attachment.ts";

// All of these run in the pod's namespace, whose /proc/sys/net is its own.

/** Numbers of a sysctl that has several stand apart by tabs or blanks. */
const same = (one: string | undefined, other: string): boolean =>
  one !== undefined && one.trim().split(/\s+/).join(" ") === other.trim().split(/\s+/).join(" ");

/** The value, "missing", or undefined for one that can be written and not read (net/ipv4/route/flush). */
function look(path: string): string | undefined {
  try {
    return findSysctl(path) ?? "missing";
  } catch (error) {
    if (isErrno(error, "EACCES") && !isReadable(path)) return undefined;
    throw error;
  }
}

const isReadable = (path: string): boolean => (stat(`/proc/sys/${path}`).mode & 0o444) !== 0;

/** What they read now, by path; CniError 7 for one that is not there. */
export function readSysctls(sysctls: readonly TunedSysctl[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { key, path } of sysctls) {
    const value = look(path);
    if (value === "missing") {
      throw new CniError(
        Code.InvalidConfig,
        `invalid configuration: sysctl ${JSON.stringify(key)}: there is no /proc/sys/${path} in the container`,
      );
    }
    if (value !== undefined) values[path] = value;
  }
  return values;
}

/** Writes them, but those that read so; CniError 7 for a value the kernel does not take. */
export function writeSysctls(sysctls: readonly TunedSysctl[]): void {
  for (const { key, path, value } of sysctls) {
    if (same(look(path), value)) continue;
    try {
      writeSysctl(path, value);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new CniError(
        error.code === "EINVAL" || error.code === "ERANGE" ? Code.InvalidConfig : Code.Internal,
        `cannot set sysctl ${JSON.stringify(key)} to ${JSON.stringify(value)}`,
        error.message,
      );
    }
  }
}

/** Puts values back; one whose link is gone is no longer there. */
export function restoreSysctls(values: Record<string, string>): void {
  for (const [path, value] of Object.entries(values)) {
    const now = look(path);
    if (now !== "missing" && !same(now, value)) writeSysctl(path, value);
  }
}

/** Those that read otherwise, in words. */
export const compareTuned = (sysctls: readonly TunedSysctl[]): string[] =>
  sysctls.flatMap(({ key, path, value }) => {
    const now = look(path);
    return now === undefined || same(now, value) ? [] : [`sysctl ${key} is ${JSON.stringify(now)}, not ${value}`];
  });

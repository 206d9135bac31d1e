import { ensureSysctl, findSysctl, writeSysctlIfKnown } from "../kernel/sysctl.ts";
import type { Sysctl } from "./attachment.ts";

/** Writes them in the current network namespace. */
export function applySysctls(sysctls: readonly Sysctl[]): void {
  for (const { path, value, optional } of sysctls) {
    if (optional) writeSysctlIfKnown(path, value);
    else ensureSysctl(path, value);
  }
}

/** Those that read otherwise, in words; optional ones are nobody's promise. */
export const compareSysctls = (sysctls: readonly Sysctl[]): string[] =>
  sysctls
    .filter(({ path, value, optional }) => !optional && findSysctl(path) !== value)
    .map(({ path, value }) => `${path} is not ${value}`);

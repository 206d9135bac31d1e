import { findText } from "./file.ts";

/** capability.h */
const CAPABILITY = { NET_ADMIN: 12n, SYS_ADMIN: 21n } as const;

/** Whether this process has a capability in its own user namespace; undefined where that cannot be found out. */
export function hasCapability(name: keyof typeof CAPABILITY): boolean | undefined {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(findText("/proc/self/status") ?? "")?.[1];
  return mask === undefined ? undefined : ((BigInt(`0x${mask}`) >> CAPABILITY[name]) & 1n) === 1n;
}

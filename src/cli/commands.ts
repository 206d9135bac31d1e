import type { Command } from "./command.ts";
import { install } from "./install.ts";
import { leases } from "./leases.ts";

/** The commands for people. */
export const commands: readonly Command[] = [install, leases];

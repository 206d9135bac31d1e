import type { Command } from "./command.ts";
import { gc } from "./gc.ts";
import { install } from "./install.ts";
import { leases } from "./leases.ts";

/** The commands for people. */
export const commands: readonly Command[] = [gc, install, leases];

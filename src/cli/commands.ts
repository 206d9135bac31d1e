import type { Command } from "./command.ts";
import { completionCommand } from "./completion.ts";
import { dhcpDaemon } from "./dhcp-daemon.ts";
import { doctor } from "./doctor.ts";
import { gc } from "./gc.ts";
import { install } from "./install.ts";
import { leases } from "./leases.ts";
import { manualCommand } from "./manual.ts";
import { map } from "./map.ts";
import { repair } from "./repair.ts";
import { run } from "./run.ts";
import { uninstall } from "./uninstall.ts";
import { validate } from "./validate.ts";

/** The commands for people: help, completion and the man page are made from these. */
export const commands: readonly Command[] = [
  doctor,
  map,
  repair,
  gc,
  leases,
  validate,
  run,
  dhcpDaemon,
  install,
  uninstall,
  completionCommand(() => commands),
  manualCommand(() => commands),
];

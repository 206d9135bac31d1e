import { existsSync, readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Lease } from "../ipam/liveness.ts";
import { listLeases } from "../ipam/reclaim.ts";
import { print } from "../kernel/stdout.ts";
import { formatIp } from "../net/ip.ts";
import { hostLiveness } from "../plugins/liveness.ts";

const usage = `Usage: podwire leases [--data-dir DIR] [--network NAME]

Lists who has the addresses that host-local (podwire's or the reference's) leased on this node.

  --data-dir DIR   ipam.dataDir of the network's configuration (/var/lib/cni/networks)
  --network NAME   only this network

State: live (its host veth or address is there), gone (its pod is provably gone: ADD takes it back when the range runs
short, GC at once), unknown (no proof of either), torn (the file is no lease; delete it to free the address).
`;

/** Prints the leases of a node as a table; returns the exit code (2: wrong arguments). Reads only. */
export function leases(args: string[]): number {
  let options: { "data-dir": string; network?: string; help: boolean };
  try {
    options = parseArgs({
      args,
      options: { "data-dir": { type: "string", default: "/var/lib/cni/networks" }, network: { type: "string" }, help: { type: "boolean", short: "h", default: false } },
    }).values as typeof options;
  } catch (error) {
    process.stderr.write(`podwire leases: ${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    return print(usage) ? 0 : 1;
  }
  try {
    return print(table(options["data-dir"], options.network)) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`podwire leases: ${(error as Error).message}\n`);
    return 1;
  }
}

function table(dataDir: string, only: string | undefined): string {
  if (!existsSync(dataDir)) throw new Error(`there is no folder ${dataDir}, so nothing was leased there; ipam.dataDir of a network's configuration, if it has that key, is what --data-dir must be`);
  const networks = only === undefined ? networksIn(dataDir) : [only];
  const liveness = hostLiveness();
  const rows = networks.flatMap((network) => listLeases({ dataDir, network }, liveness).map((lease) => row(network, lease)));
  if (rows.length === 0) return `no leases in ${dataDir}${only === undefined ? "" : `/${only}`}\n`;
  const all = [["NETWORK", "ADDRESS", "CONTAINER", "INTERFACE", "SINCE", "STATE"], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((cells) => cells[column]!.length)));
  return `${all.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()).join("\n")}\n`;
}

/** podwire's own notes start with a dot, which no network's name does. */
const networksIn = (dataDir: string): string[] =>
  readdirSync(dataDir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => name)
    .sort();

const row = (network: string, { ip, holder, modified, state }: Lease): string[] => [
  network,
  formatIp(ip),
  holder?.containerId ?? "-",
  holder?.ifname ?? "-",
  new Date(Number(modified / 1_000_000n)).toISOString().slice(0, 19) + "Z",
  state,
];

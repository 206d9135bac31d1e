import type { Lease } from "../ipam/judgement.ts";
import { listLeases } from "../ipam/reclaim.ts";
import { findLstat, readDirectory } from "../kernel/file.ts";
import { exists, S_IFDIR } from "../kernel/linux.ts";
import { formatIp } from "../net/ip.ts";
import { hostLiveness } from "../node/liveness.ts";
import { command } from "./command.ts";

const DEFAULT_DATA_DIR = "/var/lib/cni/networks";

const usage = `Usage: podwire leases [--data-dir DIR] [--network NAME]

Lists who has the addresses that host-local (podwire's or the reference's) leased on this node.

  --data-dir DIR   ipam.dataDir of the network's configuration (${DEFAULT_DATA_DIR})
  --network NAME   only this network

State: live (its host veth or address is there), gone (its pod is provably gone: ADD takes it back when the range runs
short, GC at once), unknown (no proof of either), torn (the file is no lease; delete it to free the address).
`;

/** Lists the leases of a node as a table; reads only. */
export const leases = command({
  name: "leases",
  summary: "list who has the addresses leased on this node, and whether those pods still exist",
  usage,
  options: { "--data-dir": "value", "--network": "value" },
  say: (given) => table(given.get("--data-dir") ?? DEFAULT_DATA_DIR, given.get("--network")),
});

function table(dataDir: string, only: string | undefined): string {
  if (!exists(dataDir)) {
    throw new Error(
      `there is no folder ${dataDir}, so nothing was leased there; ` +
        `ipam.dataDir of a network's configuration, if it has that key, is what --data-dir must be`,
    );
  }
  const networks = only === undefined ? networksIn(dataDir) : [only];
  const liveness = hostLiveness();
  const rows = networks.flatMap((network) =>
    listLeases({ dataDir, network }, liveness).map((lease) => row(network, lease)),
  );
  if (rows.length === 0) return `no leases in ${dataDir}${only === undefined ? "" : `/${only}`}\n`;
  const all = [["NETWORK", "ADDRESS", "CONTAINER", "INTERFACE", "SINCE", "STATE"], ...rows];
  const widths = all[0]!.map((_, column) => all.reduce((widest, cells) => Math.max(widest, cells[column]!.length), 0));
  return `${all
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")}\n`;
}

/** podwire's own notes start with a dot, which no network's name does. */
const networksIn = (dataDir: string): string[] =>
  readDirectory(dataDir)
    .filter((name) => !name.startsWith(".") && findLstat(`${dataDir}/${name}`)?.type === S_IFDIR)
    .toSorted();

const row = (network: string, { ip, holder, modified, state }: Lease): string[] => [
  network,
  formatIp(ip),
  holder?.containerId ?? "-",
  holder?.ifname ?? "-",
  `${new Date(Number(modified / 1_000_000n)).toISOString().slice(0, 19)}Z`,
  state,
];

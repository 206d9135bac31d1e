import { describeOwner } from "../attachment/owner.ts";
import { DEFAULT_DATA_DIR } from "../ipam/config.ts";
import { leasedNetworks } from "../ipam/lease-networks.ts";
import type { Lease } from "../ipam/judgement.ts";
import { listLeases } from "../ipam/reclaim.ts";
import { findStat } from "../kernel/file.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { isErrno } from "../kernel/system-error.ts";
import { compareIps, formatIp, type Ip, sameIp } from "../net/ip.ts";
import { type Attached, recordedNetworks, takeInventory } from "../node/inventory.ts";
import { hostLiveness, type Liveness } from "../node/liveness.ts";
import { describeCapacity, readNetworks } from "./capacity.ts";
import { command, type Said } from "./command.ts";
import { leaseOptions } from "./lease-options.ts";
import { nearest } from "./nearest.ts";
import { release } from "./release.ts";
import { formatTable } from "./terminal.ts";

const DEFAULT_CONF_DIR = "/etc/cni/net.d";

/** Lists the leases of a node as a table. */
export const leases = command({
  name: "leases",
  summary: "list who has the addresses of pods on this node, whether they still exist, how full ranges are",
  about: [
    "Lists who has the addresses of pods on this node, those host-local leased (podwire's or the reference's), and " +
      "those another IPAM plugin gave to pods that podwire wired. Then, for every network that is configured on this " +
      "node, how full its ranges are, and which networks hand out the same addresses.",
    "State: live (its host veth or address is there), gone (its pod is provably gone: ADD takes it back when the " +
      "range runs short, GC at once), unknown (no proof of either), torn (the file is no lease, so its address is " +
      "not given to anybody), unreadable (whose it is cannot be read: run this as root).",
  ],
  root: "see whose leases and links these are",
  options: {
    ...leaseOptions,
    "--conf-dir": { value: "DIR", about: `where the networks are configured (${DEFAULT_CONF_DIR})` },
  },
  commands: [release],
  say: (given) =>
    report({
      dataDir: given.find("--data-dir") ?? DEFAULT_DATA_DIR,
      only: given.find("--network"),
      confDir: given.find("--conf-dir") ?? DEFAULT_CONF_DIR,
    }),
});

interface Question {
  dataDir: string;
  only: string | undefined;
  confDir: string;
}

function report({ dataDir, only, confDir }: Question): Said {
  const { networks, problems } = readNetworks(confDir);
  if (!findStat(dataDir)) {
    throw new Error(
      `there is no folder ${dataDir}, so nothing was leased there; ` +
        `ipam.dataDir of a network's configuration, if it has that key, is what --data-dir must be`,
    );
  }
  const liveness = hostLiveness();
  const leasedHere = leasedNetworks(dataDir);
  assertKnown(only, [...leasedHere, ...networks.map(({ name }) => name)], dataDir);
  const names = only === undefined ? leasedHere : [only];
  const leased = new Map(names.map((name) => [name, listLeases({ dataDir, network: name }, liveness)]));
  const rows = names.flatMap((name) => leased.get(name)!.map((lease) => leaseRow(name, lease)));
  const attachments = readable(problems, () => look({ dataDir, only }, leased, liveness)) ?? [];
  const others = attachments.flatMap(otherRows).toSorted((a, b) => compareIps(a.ip, b.ip));
  const configured = networks.filter(({ name }) => only === undefined || name === only);
  const capacity = describeCapacity(
    configured,
    ({ dataDir: where }, name) => leased.get(name) ?? listLeases({ dataDir: where, network: name }, liveness),
  );
  const warnings = [...attachments.flatMap(leftovers), ...problems];
  const all = [...rows, ...others];
  const text = [
    all.length > 0 ? format(all) : `no leases in ${dataDir}${only === undefined ? "" : `/${only}`}`,
    ...capacity,
    ...warnings.map((warning) => `warning: ${warning}`),
  ];
  const facts = { leases: all.map(({ ip, ...row }) => ({ address: formatIp(ip), ...row })), capacity, warnings };
  return { text: `${text.join("\n")}\n`, facts };
}

/** A network that nobody knows of was mistyped. */
function assertKnown(only: string | undefined, known: readonly string[], dataDir: string): void {
  if (only === undefined || known.includes(only) || recordedNetworks(dataDir).includes(only)) return;
  const meant = nearest(only, known);
  const there = known.length > 0 ? `there are: ${[...new Set(known)].join(", ")}` : "there is none";
  throw new Error(`no network is named ${only} in ${dataDir}; ${meant ? `did you mean ${meant}?` : there}`);
}

/** What an ordinary user may not read is said, and the rest shown. */
function readable<T>(problems: string[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isErrno(error, "EACCES", "EPERM")) throw error;
    problems.push(`${error.message}: run this as root to see everything`);
    return undefined;
  }
}

type Row = { network: string; ip: Ip; containerId: string; ifname: string; since: string; state: string };

const leaseRow = (network: string, { ip, holder, modified, state }: Lease): Row => ({
  network,
  ip,
  containerId: holder?.containerId ?? "-",
  ifname: holder?.ifname ?? "-",
  since: `${new Date(Number(modified / 1_000_000n)).toISOString().slice(0, 19)}Z`,
  state,
});

/** Everything there is of attachments on this node. */
function look(
  { dataDir, only }: Pick<Question, "dataDir" | "only">,
  leased: ReadonlyMap<string, readonly Lease[]>,
  liveness: Liveness,
): Attached[] {
  const leases = [...leased].flatMap(([network, list]) =>
    list.flatMap(({ ip, holder }) =>
      holder?.ifname === undefined
        ? []
        : [{ owner: { network, containerId: holder.containerId, ifname: holder.ifname }, ip }],
    ),
  );
  const networks = only === undefined ? recordedNetworks(dataDir) : [only];
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const inventory = takeInventory({
    records: networks.map((network) => ({ dataDir, network })),
    leases,
    host,
    liveness,
  });
  host.close();
  return inventory.filter(({ owner }) => only === undefined || owner.network === only);
}

/** Addresses for which there is no lease file: another IPAM plugin gave them to a pod that podwire wired. */
const otherRows = ({ owner, addresses, leased, state }: Attached): Row[] =>
  addresses
    .filter((ip) => !leased.some((other) => sameIp(other, ip)))
    .map((ip) => ({ ...owner, ip, since: "-", state }));

/** Rules of an attachment nothing else is left of. */
const leftovers = ({ owner, link, record, leased, rules }: Attached): string[] =>
  rules.length === 0 || link || record || leased.length > 0
    ? []
    : [
        `rules of ${describeOwner(owner)}, of which nothing else is left: ${rules.join(", ")}; ` +
          `its DEL, or GC of the network, removes them`,
      ];

/** Ids are cut to what tells them apart, as far as twelve characters do: that is how runtimes show them. */
const SHORT_ID = 12;

function format(rows: readonly Row[]): string {
  const ids = new Set(rows.map(({ containerId }) => containerId));
  const isClear = new Set([...ids].map((id) => id.slice(0, SHORT_ID))).size === ids.size;
  const shown = (id: string): string => (isClear && id.length > 32 ? id.slice(0, SHORT_ID) : id);
  return formatTable([
    ["NETWORK", "ADDRESS", "CONTAINER", "INTERFACE", "SINCE", "STATE"],
    ...rows.map(({ network, ip, containerId, ifname, since, state }) => [
      network,
      formatIp(ip),
      shown(containerId),
      ifname,
      since,
      state,
    ]),
  ]);
}

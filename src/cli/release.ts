import { formatPodName } from "../cni/pod-name.ts";
import { readLease } from "../ipam/folder.ts";
import { judgeLease, type Lease } from "../ipam/judgement.ts";
import { leasedNetworks } from "../ipam/lease-networks.ts";
import type { LeaseFolder } from "../ipam/lease-folder.ts";
import { formatIp, type Ip, parseIp, sameIp } from "../net/ip.ts";
import { findRecord, listRecords } from "../node/record.ts";
import { hostLiveness, lifeOf, type Liveness } from "../node/liveness.ts";
import { shortId } from "../survey/choose.ts";
import { freeLease } from "../survey/removal.ts";
import { findDataDirs } from "../survey/data-dirs.ts";
import { UsageError } from "./arguments.ts";
import { command, type Said } from "./command.ts";
import { leaseOptions } from "./lease-options.ts";

/** `podwire leases release`: frees one address, unless its pod may live. */
export const release = command({
  name: "leases release",
  summary: "free an address whose pod is gone",
  about: [
    "Frees an address as DEL would, and refuses while its pod may live; with --force also where that is unknown. Ask " +
      "the runtime first (crictl pods).",
  ],
  root: "change leases",
  operands: { ADDRESS: { about: "the address to free" } },
  options: {
    ...leaseOptions,
    "--force": { about: "free it also where it is unknown whether its pod lives" },
  },
  say(given) {
    const ip = parseIp(given.get("ADDRESS"));
    if (!ip) throw new UsageError(`ADDRESS is ${JSON.stringify(given.get("ADDRESS"))}, must be an IP address`);
    const dataDir = given.find("--data-dir");
    const folder = findFolder(
      ip,
      dataDir === undefined ? findDataDirs(given.find("--conf-dir")) : [dataDir],
      given.find("--network"),
    );
    return free(ip, folder, given.has("--force"));
  },
});

/** The one folder that has a lease of the address. */
function findFolder(ip: Ip, dataDirs: readonly string[], network: string | undefined): LeaseFolder {
  const folders = dataDirs.flatMap((dataDir) =>
    (network === undefined ? leasedNetworks(dataDir) : [network]).map((name) => ({ dataDir, network: name })),
  );
  const found = folders.filter((folder) => readLease(folder, ip) !== undefined);
  if (found.length === 1) return found[0]!;
  throw new Error(
    found.length === 0
      ? notLeased(ip, dataDirs, network)
      : `${formatIp(ip)} is leased in networks ${found.map((folder) => folder.network).join(", ")}: say which by ` +
          `--network${new Set(found.map((folder) => folder.network)).size < found.length ? " and --data-dir" : ""}`,
  );
}

function notLeased(ip: Ip, dataDirs: readonly string[], network: string | undefined): string {
  const where = dataDirs.length > 0 ? dataDirs.join(", ") : "any folder: none on this node has leases";
  return `${formatIp(ip)} is not leased in ${network === undefined ? "" : `network ${network} of `}${where}`;
}

/** A file that is no lease says nothing, but a record may name its address, or the node lead to it. */
function judgeTorn(lease: Lease, folder: LeaseFolder, liveness: Liveness): Lease {
  const record = listRecords(folder).find(({ ips, knowledge }) => knowledge && ips.some((ip) => sameIp(ip, lease.ip)));
  if (record) return { ...lease, holder: record.owner, state: lifeOf(record, liveness) };
  return liveness.addressInUse(lease.ip) ? { ...lease, state: "live" } : lease;
}

function free(ip: Ip, folder: LeaseFolder, force: boolean): Said {
  const liveness = hostLiveness();
  const found = judgeLease(folder, ip, liveness);
  if (!found) throw new Error(`${formatIp(ip)} is not leased any more`);
  const lease = found.state === "torn" ? judgeTorn(found, folder, liveness) : found;
  const who = nameOf(lease, folder);
  if (lease.state === "live") throw new Error(`${formatIp(ip)} is in use by ${who}: it is not released`);
  if (lease.state === "unreadable") throw new Error(`the lease of ${formatIp(ip)} cannot be read: run this as root`);
  if (lease.state === "unknown" && !force) {
    throw new Error(
      `whether ${who}, which has ${formatIp(ip)}, still lives is not known: ask the runtime (crictl pods), ` +
        `then release it by --force`,
    );
  }
  const { holder } = lease;
  freeLease({ ...found, folder });
  return {
    text: `released ${formatIp(ip)} of ${who}, network ${folder.network}\n`,
    facts: { released: formatIp(ip), network: folder.network, container: holder?.containerId, ifname: holder?.ifname },
  };
}

function nameOf({ holder, state }: Lease, folder: LeaseFolder): string {
  if (holder === undefined) return state === "live" ? "a pod of this node" : "nobody (the file is no lease)";
  const { containerId, ifname } = holder;
  if (ifname === undefined) return `container ${containerId}`;
  const pod = findRecord(folder, { containerId, ifname })?.knowledge?.pod;
  return pod
    ? `${formatPodName(pod)} (container ${shortId(containerId)}, ${ifname})`
    : `container ${containerId} (interface ${ifname})`;
}

import type { Owner } from "../attachment/attachment.ts";
import { aliasKey } from "../attachment/owner.ts";
import type { LeaseFolder } from "../ipam/lease-folder.ts";
import { leasedNetworks } from "../ipam/lease-networks.ts";
import { listLeases } from "../ipam/reclaim.ts";
import { messageOf } from "../cni/error.ts";
import { isErrno } from "../kernel/system-error.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { listCached } from "../node/cached-results.ts";
import type { CachedAttachment } from "../protocol/cached-result.ts";
import { type Attached, recordedNetworks, takeInventory } from "../node/inventory.ts";
import { nearest } from "../net/nearest.ts";
import { hostLiveness, type Liveness } from "../node/liveness.ts";
import { knownDataDirs } from "./data-dirs.ts";
import type { FoundLease, Surveyed } from "./surveyed.ts";
import { gatherEvidence, hostLinksOf } from "./evidence.ts";
import { judge } from "./judgement.ts";
import { leasingNetworks, type Network, type NetworkFile, readNetworkFiles } from "./networks.ts";
import { CONF_DIRS, RESULTS_FOLDER, type SurveyPlaces } from "./places.ts";

/** All there is of pods' networks on this node, over every folder of leases at once. */
export interface Survey {
  attachments: Surveyed[];
  /** every lease, also those of no attachment that can be told: torn ones, and those of containers alone */
  leases: FoundLease[];
  dataDirs: string[];
  /** the configurations of this node in the order in which runtimes take them, and those of them that lease */
  files: NetworkFile[];
  networks: Network[];
  /** what could not be looked at, in words */
  problems: string[];
  /** what this process may not look at, in words: it takes root */
  denied: string[];
  liveness: Liveness;
}

/** Reads all of it; what an ordinary user may not read is among `denied`, and the rest there. */
export function takeSurvey({ dataDir, confDir, resultsFolder = RESULTS_FOLDER, network }: SurveyPlaces): Survey {
  const isWanted = (name: string): boolean => network === undefined || name === network;
  const denied: string[] = [];
  const read = (confDir === undefined ? CONF_DIRS : [confDir]).map(readNetworkFiles);
  const allFiles = read.flatMap((each) => each.files);
  const files = allFiles.filter(({ name }) => isWanted(name));
  const configured = leasingNetworks(files);
  const { cached, problems } = allowed(denied, () => listCached(resultsFolder)) ?? { cached: [], problems: [] };
  const dataDirs = dataDir === undefined ? knownDataDirs(files, cached) : [dataDir];
  const liveness = hostLiveness();
  const folders = (networksIn: (dir: string) => string[]): LeaseFolder[] =>
    dataDirs.flatMap((dir) =>
      networksIn(dir)
        .filter(isWanted)
        .map((name) => ({ dataDir: dir, network: name })),
    );
  const leases = folders(leasedNetworks).flatMap((folder) => leasesIn(folder, liveness));
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const records = allowed(denied, () => folders(recordedNetworks)) ?? [];
  const inventory = allowed(denied, () =>
    takeInventory({
      records,
      leases: leases.flatMap(({ folder, ip, holder }) =>
        holder?.ifname === undefined ? [] : [{ owner: ownerOf(folder, holder), ip }],
      ),
      host,
      liveness,
    }),
  );
  const attachments = join(inventory ?? [], leases, cached)
    .filter(({ owner }) => isWanted(owner.network))
    .map((attached) => judged(attached, host, liveness));
  host.close();
  if (network !== undefined && files.length + attachments.length + denied.length === 0) {
    assertKnown(network, [...allFiles.map(({ name }) => name), ...dataDirs.flatMap(foldersIn)], dataDirs);
  }
  return {
    attachments,
    leases,
    dataDirs,
    files,
    networks: configured.networks,
    problems: [...read.flatMap((each) => each.problems), ...configured.problems, ...problems],
    denied,
    liveness,
  };
}

const foldersIn = (dataDir: string): string[] => [...leasedNetworks(dataDir), ...recordedNetworks(dataDir)];

/** A network that nobody knows of was mistyped. */
function assertKnown(network: string, names: readonly string[], dataDirs: readonly string[]): void {
  const known = [...new Set(names)];
  if (known.includes(network)) return;
  const meant = nearest(network, known);
  const there = known.length > 0 ? `there are: ${known.join(", ")}` : "there is none";
  const where = dataDirs.length > 0 ? ` in ${dataDirs.join(", ")}` : "";
  throw new Error(`no network is named ${network}${where}; ${meant ? `did you mean ${meant}?` : there}`);
}

/** What an ordinary user may not read is noted, and the rest goes on. */
function allowed<T>(denied: string[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isErrno(error, "EACCES", "EPERM") && !isErrno((error as Error).cause, "EACCES", "EPERM")) throw error;
    denied.push(messageOf(error));
    return undefined;
  }
}

const leasesIn = (folder: LeaseFolder, liveness: Liveness): FoundLease[] =>
  listLeases(folder, liveness).map((lease) => ({ ...lease, folder }));

const ownerOf = (
  { network }: LeaseFolder,
  { containerId, ifname }: { containerId: string; ifname?: string },
): Owner => ({
  network,
  containerId,
  ifname: ifname ?? "",
});

/** Puts together what inventory, leases and the runtime's memory say of the same attachments. */
function join(
  inventory: readonly Attached[],
  leases: readonly FoundLease[],
  cached: readonly CachedAttachment[],
): Surveyed[] {
  const all = new Map<string, Surveyed>();
  for (const attached of inventory) {
    const { knowledge } = attached.record ?? {};
    all.set(aliasKey(attached.owner), {
      ...attached,
      ...(knowledge?.pod && { pod: knowledge.pod }),
      netns: knowledge?.netns ?? "",
      leases: [],
    });
  }
  for (const lease of leases) {
    if (lease.holder?.ifname !== undefined) all.get(aliasKey(ownerOf(lease.folder, lease.holder)))?.leases.push(lease);
  }
  for (const one of cached) {
    if (one.owner.ifname === "lo") continue; // the runtime's loopback network: nothing of it is an attachment
    const key = aliasKey(one.owner);
    const known = all.get(key) ?? blank(one.owner);
    const pod = known.pod ?? one.pod;
    all.set(key, {
      ...known,
      cached: one,
      linkNames: hostLinksOf(one),
      netns: known.netns || one.netns,
      ...(pod && { pod }),
    });
  }
  return [...all.values()];
}

const blank = (owner: Owner): Surveyed => ({
  owner,
  addresses: [],
  leased: [],
  rules: [],
  ruleLinks: [],
  state: "unknown",
  netns: "",
  leases: [],
});

/** What podwire has no record of (the reference made it) is judged by what else there is. */
const judged = (attached: Surveyed, host: NetlinkSocket, liveness: Liveness): Surveyed =>
  attached.state === "unknown"
    ? { ...attached, state: judge(gatherEvidence(attached, host, liveness)).state }
    : attached;

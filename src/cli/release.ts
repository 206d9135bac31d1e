import { isHolder, readLease } from "../ipam/folder.ts";
import { judgeLease, type Lease } from "../ipam/judgement.ts";
import { leasedNetworks } from "../ipam/lease-networks.ts";
import { removeLease } from "../ipam/leases.ts";
import { type LeaseFolder, leasePath } from "../ipam/lease-folder.ts";
import { withStore } from "../ipam/store.ts";
import { removeFile } from "../kernel/file.ts";
import { formatIp, type Ip, parseIp } from "../net/ip.ts";
import { hostLiveness } from "../node/liveness.ts";
import { UsageError } from "./arguments.ts";
import { type Command, command } from "./command.ts";

/** `podwire leases release`: frees one address, unless its pod may live. */
export function releaseCommand(usage: string, defaultDataDir: string): Command {
  const options = { "--data-dir": "value", "--network": "value", "--force": "flag" } as const;
  let address = "";
  const { run, ...about } = command({
    name: "leases release",
    summary: "free an address whose pod is gone",
    usage,
    options,
    say(given) {
      const ip = parseIp(address);
      if (!ip) throw new UsageError(`${address === "" ? "an address is missing" : `${address} is no address`}`);
      const dataDir = given.get("--data-dir") ?? defaultDataDir;
      const only = given.get("--network");
      return release(
        ip,
        findFolder(ip, dataDir, only === undefined ? leasedNetworks(dataDir) : [only]),
        given.has("--force"),
      );
    },
  });
  return {
    ...about,
    run(args) {
      const isGiven = args[0] !== undefined && !args[0].startsWith("-");
      address = isGiven ? args[0]! : "";
      return run(isGiven ? args.slice(1) : args);
    },
  };
}

/** The one network that has a lease of the address. */
function findFolder(ip: Ip, dataDir: string, networks: readonly string[]): LeaseFolder {
  const found = networks.filter((network) => readLease({ dataDir, network }, ip) !== undefined);
  if (found.length === 1) return { dataDir, network: found[0]! };
  throw new Error(
    found.length === 0
      ? `${formatIp(ip)} is not leased in ${dataDir}`
      : `${formatIp(ip)} is leased in networks ${found.join(", ")}: say which by --network`,
  );
}

function release(ip: Ip, folder: LeaseFolder, force: boolean): string {
  const lease = judgeLease(folder, ip, hostLiveness());
  if (!lease) throw new Error(`${formatIp(ip)} is not leased any more`);
  const who = nameOf(lease);
  if (lease.state === "live") throw new Error(`${formatIp(ip)} is in use by ${who}: it is not released`);
  if (lease.state === "unreadable") throw new Error(`the lease of ${formatIp(ip)} cannot be read: run this as root`);
  if (lease.state === "unknown" && !force) {
    throw new Error(
      `whether ${who}, which has ${formatIp(ip)}, still lives is not known: ask the runtime (crictl pods), ` +
        `then release it by --force`,
    );
  }
  const { holder } = lease;
  if (holder?.ifname !== undefined) {
    removeLease(folder, { containerId: holder.containerId, ifname: holder.ifname });
  } else {
    // a file that names no interface, or nobody, has no record and nothing else
    const isSame = (): boolean => isHolder(readLease(folder, ip)) === (holder !== undefined);
    withStore(folder, () => isSame() && removeFile(leasePath(folder, ip)));
  }
  return `released ${formatIp(ip)} of ${who}, network ${folder.network}\n`;
}

const nameOf = ({ holder }: Lease): string =>
  holder === undefined
    ? "nobody (the file is no lease)"
    : `container ${holder.containerId}${holder.ifname === undefined ? "" : ` (interface ${holder.ifname})`}`;

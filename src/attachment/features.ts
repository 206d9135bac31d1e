import { CniError, Code } from "../cni/error.ts";
import { findStat, findText } from "../kernel/file.ts";
import { isModuleKnown } from "../kernel/modules.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { isErrno, SystemError } from "../kernel/system-error.ts";
import { getPortVlans } from "../netlink/rtnetlink/port-vlan.ts";
import { probeLinkKind } from "../netlink/rtnetlink/probe.ts";
import { probeTbf } from "../netlink/rtnetlink/qdisc.ts";

// What a kernel may have been built without. A module that lies there is not loaded to find out.

/** The option of the kernel's configuration for each kind of link. */
const kindOptions = {
  macvlan: "MACVLAN",
  ipvlan: "IPVLAN",
  vlan: "VLAN_8021Q",
  dummy: "DUMMY",
  vrf: "NET_VRF",
  ifb: "IFB",
  tun: "TUN",
} as const;
type LinkKind = keyof typeof kindOptions;

/** Names of modules, where they are others than the kind's. */
const modules: Partial<Record<LinkKind, string>> = { vlan: "8021q" };

export const lackingKind = (kind: LinkKind): string => `this kernel has no ${kind} (CONFIG_${kindOptions[kind]})`;
export const LACKING_VLANS = "this kernel was built without VLAN filtering of bridges (CONFIG_BRIDGE_VLAN_FILTERING)";

/** Throws code 50 where the kernel surely has no links of that kind. */
export function assertLinkKind(kind: LinkKind): void {
  const isThere =
    isModuleKnown(modules[kind] ?? kind) ||
    (kind === "tun"
      ? findStat("/dev/net/tun") !== undefined
      : !isRefused("EOPNOTSUPP", (host) => host.request([probeLinkKind(kind)])));
  if (!isThere) throw new CniError(Code.NotAvailable, lackingKind(kind));
}

/** LOOPBACK_IFINDEX of linux/if.h: every namespace has it, and nothing becomes of it. */
const loopback = { index: 1, name: "lo" };

/** Throws code 50 where the kernel surely has no token bucket filter. */
export function assertShaper(): void {
  if (isModuleKnown("sch_tbf") || !isRefused("ENOENT", (host) => host.request([probeTbf(loopback)]))) return;
  throw new CniError(Code.NotAvailable, "this kernel has no token bucket filter (CONFIG_NET_SCH_TBF)");
}

/** Throws code 50 where bridges surely do not keep VLANs apart. */
export function assertVlanFiltering(): void {
  // asked of bridges, which may be a module that nobody has loaded yet; the question is known since Linux 5.6
  if (!findStat("/sys/module/bridge") || isOlder(5, 6)) return;
  if (isRefused("EOPNOTSUPP", (host) => host.dump(getPortVlans(loopback)))) {
    throw new CniError(Code.NotAvailable, LACKING_VLANS);
  }
}

function isOlder(major: number, minor: number): boolean {
  const [, first, second] = /^(\d+)\.(\d+)/.exec(findText("/proc/sys/kernel/osrelease") ?? "") ?? [];
  return Number(first) < major || (Number(first) === major && Number(second) < minor);
}

/** Whether the kernel answers with that error; another one says that it understood. */
function isRefused(code: string, ask: (host: NetlinkSocket) => unknown): boolean {
  const socket = NetlinkSocket.open(NETLINK_ROUTE);
  try {
    ask(socket);
    return false;
  } catch (error) {
    if (error instanceof SystemError) return isErrno(error, code);
    throw error;
  } finally {
    socket.close();
  }
}

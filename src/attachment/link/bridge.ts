import { CniError, Code } from "../../cni/error.ts";
import type { Log } from "../../cni/log.ts";
import { isErrno } from "../../kernel/linux.ts";
import { randomMac } from "../../kernel/random.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import {
  createBridge,
  filterVlans,
  type Link,
  type LinkChange,
  setAlias,
  setLink,
} from "../../netlink/rtnetlink/link.ts";
import type { BridgePart } from "../attachment.ts";
import { assertVlanFiltering, LACKING_VLANS } from "../features.ts";
import type { Kind } from "../kind.ts";
import { stepOf } from "../step.ts";
import { acceptNoRouter, mendSysctls, trySysctl } from "../sysctls.ts";
import { findLink, listLinks } from "./links.ts";

/** The Linux bridge pods are plugged into. */
export const bridge: Kind<BridgePart> = {
  apply(part, { host, log }, { made }) {
    made.bridge = ensureBridge(host, part, log);
  },

  settle(_part, { host }, made) {
    made.bridge = pinMac(host, made.bridge!);
  },

  status: ({ vlanFiltering }) => vlanFiltering && assertVlanFiltering(),

  mend(part, site) {
    const { host, log } = site;
    const found = site.seenLink(part.name);
    if (!found) {
      const make = (): void => void ensureBridge(host, { ...part, mac: part.mac || randomMac() }, log);
      return [{ what: `create bridge ${part.name}`, isShared: true, run: make }];
    }
    if (found.kind !== "bridge") return [];
    const change: LinkChange = {
      ...(!found.up && { up: true }),
      ...(part.promisc && found.promiscuity === 0 && { promisc: true }),
      ...(part.mac && found.mac !== part.mac && { mac: part.mac }),
    };
    return [
      ...mendSysctls([acceptNoRouter(part.name)], log),
      ...(Object.keys(change).length > 0 ? [stepOf(host, setLink(found, change))] : []),
      // of somebody else's bridge the ports are somebody else's affair
      ...(part.vlanFiltering && !found.vlanFiltering && found.alias === BRIDGE_ALIAS
        ? [stepOf(host, filterVlans(found))]
        : []),
    ].map((step) => ({ ...step, isShared: true }));
  },

  compare(part, site) {
    const { name, mac, promisc, vlanFiltering } = part;
    const found = site.seenLink(name);
    if (!found) return [`bridge ${name} does not exist`];
    if (found.kind !== "bridge") return [`link ${name} is not a bridge`];
    return [
      ...(mac && found.mac !== mac ? [`bridge ${name} has MAC ${found.mac}, not ${mac}`] : []),
      ...(found.up ? [] : [`bridge ${name} is down`]),
      ...(found.promiscuity > 0 === promisc ? [] : [`bridge ${name} is ${promisc ? "not " : ""}promiscuous`]),
      ...(vlanFiltering && !found.vlanFiltering ? [`bridge ${name} does not filter VLANs`] : []),
    ];
  },
};

/**
 * Makes sure the bridge exists, is one, and is up; one that exists is used as it is, and what differs from the
 * configuration is refused or logged.
 */
function ensureBridge(host: NetlinkSocket, bridge: BridgePart, log: Log): Link {
  const link = findLink(host, bridge.name) ?? makeBridge(host, bridge, log);
  if (link.kind !== "bridge") {
    throw new CniError(
      Code.InvalidConfig,
      `bridge: link "${bridge.name}" already exists but is not a bridge ` +
        `(it is ${link.kind ? `a ${link.kind}` : "a device"})`,
    );
  }
  if (bridge.vlanFiltering && !link.vlanFiltering) {
    throw new CniError(
      Code.InvalidConfig,
      `bridge "${bridge.name}" exists without VLAN filtering, so vlan and vlanTrunk would not hold; ` +
        `run: ip link set ${bridge.name} type bridge vlan_filtering 1`,
    );
  }
  if (bridge.mtu && bridge.mtu !== link.mtu) {
    log.warn(
      `bridge ${bridge.name} exists with MTU ${link.mtu}; ` +
        `the configuration's ${bridge.mtu} is used for the veth pair only`,
    );
  }
  trySysctl(acceptNoRouter(bridge.name), log);
  const promisc = bridge.promisc && link.promiscuity === 0;
  // the kernel leaves a bridge without a MAC when the last port goes whose it had, and then takes no address on it
  const mac = link.mac === NO_MAC ? bridge.mac : undefined;
  if (!link.up || promisc || mac) {
    host.request([setLink(link, { up: true, ...(promisc && { promisc }), ...(mac && { mac }) })]);
  }
  return mac ? { ...link, mac } : link;
}

const NO_MAC = "00:00:00:00:00:00";

/** Not "podwire " and words: those are the owners of attachments. */
const BRIDGE_ALIAS = "podwire: bridge";

function makeBridge(host: NetlinkSocket, bridge: BridgePart, log: Log): Link {
  try {
    host.request([createBridge(bridge), setAlias(bridge.name, BRIDGE_ALIAS)]);
    // a link-local address that is still tentative solicits no neighbour: what comes from outside would wait a second
    trySysctl({ path: `net/ipv6/conf/${bridge.name}/accept_dad`, value: "0" }, log);
  } catch (error) {
    if (bridge.vlanFiltering && isErrno(error, "EOPNOTSUPP")) {
      throw new CniError(
        Code.InvalidConfig,
        `cannot create bridge "${bridge.name}" with vlan or vlanTrunk: ${LACKING_VLANS}`,
      );
    }
    if (!isErrno(error, "EEXIST")) throw error; // another ADD was faster
  }
  const link = findLink(host, bridge.name);
  if (!link) throw new CniError(Code.TryAgainLater, `bridge "${bridge.name}" vanished while it was being made`);
  return link;
}

/**
 * Gives the bridge the MAC it had back if plugging a port changed it, and pins it if it is a port's and so would go
 * with that port: neighbours keep it for minutes, so it must never move. Those podwire made have theirs from the start;
 * and a MAC that is pinned is not written again, as that makes the host forget every neighbour on the bridge.
 */
function pinMac(host: NetlinkSocket, before: Link): Link {
  const now = findLink(host, before.name) ?? before;
  const moved = now.mac !== before.mac;
  if (
    !moved &&
    (now.alias === BRIDGE_ALIAS || !listLinks(host).some(({ master, mac }) => master === now.index && mac === now.mac))
  ) {
    return now;
  }
  host.request([setLink(now, { mac: before.mac })]);
  return { ...now, mac: before.mac };
}

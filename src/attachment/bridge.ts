import { CniError, Code } from "../cni/error.ts";
import type { Log } from "../cni/log.ts";
import { isErrno } from "../kernel/linux.ts";
import type { NetlinkSocket } from "../kernel/netlink.ts";
import { randomMac } from "../kernel/random.ts";
import type { Message } from "../netlink/message.ts";
import { addAddress, decodeAddress, deleteAddress, getAddresses } from "../netlink/rtnetlink/address.ts";
import {
  addPortVlan,
  clearPortVlans,
  createBridge,
  createVeth,
  type Link,
  setAlias,
  setBridgePort,
  setLink,
} from "../netlink/rtnetlink/link.ts";
import { writeSysctlIfKnown } from "../kernel/sysctl.ts";
import { contains, formatPrefix, networkOf, type Prefix, samePrefix } from "../net/ip.ts";
import type { Bridge, BridgePort, PortVlans } from "./attachment.ts";
import { findLink, listLinks } from "./links.ts";

/**
 * Makes sure the bridge exists, is one, and is up; one that exists is used as it is, and what differs from the
 * configuration is refused or logged.
 */
export function ensureBridge(host: NetlinkSocket, bridge: Bridge, log: Log): Link {
  const link = findLink(host, bridge.name) ?? makeBridge(host, bridge);
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
  const promisc = bridge.promisc && link.promiscuity === 0;
  if (!link.up || promisc) host.request([setLink(link, { up: true, ...(promisc && { promisc }) })]);
  return link;
}

/** Not "podwire " and words: those are the owners of attachments. */
const BRIDGE_ALIAS = "podwire: bridge";

function makeBridge(host: NetlinkSocket, bridge: Bridge): Link {
  try {
    host.request([createBridge(bridge), setAlias(bridge.name, BRIDGE_ALIAS)]);
    writeSysctlIfKnown(`net/ipv6/conf/${bridge.name}/accept_ra`, "0"); // a pod must not configure the host
    // a link-local address that is still tentative solicits no neighbour: what comes from outside would wait a second
    writeSysctlIfKnown(`net/ipv6/conf/${bridge.name}/accept_dad`, "0");
  } catch (error) {
    if (bridge.vlanFiltering && isErrno(error, "EOPNOTSUPP")) {
      throw new CniError(
        Code.InvalidConfig,
        `cannot create bridge "${bridge.name}" with vlan or vlanTrunk: ` +
          `this kernel was built without VLAN filtering of bridges (CONFIG_BRIDGE_VLAN_FILTERING)`,
      );
    }
    if (!isErrno(error, "EEXIST")) throw error; // another ADD was faster
  }
  const link = findLink(host, bridge.name);
  if (!link) throw new CniError(Code.TryAgainLater, `bridge "${bridge.name}" vanished while it was being made`);
  return link;
}

/** What plugs a link into the bridge as the configuration asks, after IFLA_MASTER: hairpin, isolation, VLANs. */
export const plugMessages = (link: Link, port: BridgePort): Message[] => [
  setBridgePort(link, port),
  ...(port.vlans ? vlanMessages(link, port.vlans) : []),
];

/** Byte-compared in tests: kernels without bridge VLAN filtering cannot show their effect. */
export const vlanMessages = (link: { index: number; name: string }, vlans: PortVlans): Message[] => [
  ...(vlans.dropDefault ? [clearPortVlans(link)] : []),
  ...vlans.tagged.map((vid) => addPortVlan(link, vid, false)),
  ...(vlans.untagged === undefined ? [] : [addPortVlan(link, vlans.untagged, true)]),
];

/** Makes sure the gateway addresses are on the bridge, or on its VLAN interface, which is returned. */
export function ensureGateways(host: NetlinkSocket, bridge: Bridge, link: Link): Link {
  const holder = bridge.vlanInterface ? ensureVlanInterface(host, bridge, link) : link;
  for (const address of bridge.addresses) ensureAddress(host, holder, address, bridge.forceAddress);
  return holder;
}

/**
 * The interface `<bridge>.<vlan>`: one end of a veth pair in the host whose other end is a port of the bridge in that
 * VLAN.
 */
function ensureVlanInterface(host: NetlinkSocket, bridge: Bridge, link: Link): Link {
  const { name, mac, vlans } = bridge.vlanInterface!;
  const found = findLink(host, name);
  if (found) return found;
  const port = `veth${randomMac().replaceAll(":", "").slice(-11)}`;
  try {
    host.request([
      createVeth({ host: { name: port, mac: randomMac() }, pod: { name, mac }, mtu: link.mtu, master: link.index }),
      setAlias(port, `podwire: VLAN port of ${name}`),
    ]);
    const end = findLink(host, port)!;
    host.request([...plugMessages(end, { hairpin: false, isolated: false, vlans }), setLink(end, { up: true })]);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  const made = findLink(host, name);
  if (!made) throw new CniError(Code.TryAgainLater, `VLAN interface "${name}" vanished while it was being made`);
  writeSysctlIfKnown(`net/ipv6/conf/${name}/accept_ra`, "0");
  host.request([setLink(made, { up: true })]);
  return made;
}

/**
 * IPv4: an interface has one gateway address; IPv6: one of each subnet. Another one is an error unless it may be
 * replaced.
 */
function ensureAddress(host: NetlinkSocket, link: Link, wanted: Prefix, force: boolean): void {
  const present = host.dump(getAddresses(link.index)).flatMap((reply) => decodeAddress(reply)?.prefix ?? []);
  if (present.some((prefix) => samePrefix(prefix, wanted))) return;
  const conflicts = present.filter(
    (prefix) => prefix.ip.family === wanted.ip.family && (wanted.ip.family === 4 || overlaps(prefix, wanted)),
  );
  const [first] = conflicts;
  if (first && !force) {
    throw new CniError(
      Code.InvalidConfig,
      `"${link.name}" already has an IP address different from ${formatPrefix(wanted)}: ${formatPrefix(first)}; ` +
        `remove it, or set "forceAddress": true to have podwire replace it`,
    );
  }
  for (const prefix of conflicts) host.request([deleteAddress(link, prefix)]);
  try {
    host.request([addAddress(link, wanted)]);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error; // another ADD was faster
  }
}

const overlaps = (a: Prefix, b: Prefix): boolean => contains(networkOf(a), b.ip) || contains(networkOf(b), a.ip);

/**
 * Gives the bridge the MAC it had back if plugging a port changed it, and pins it if it is a port's and so would go
 * with that port: neighbours keep it for minutes, so it must never move. Those podwire made have theirs from the start;
 * and a MAC that is pinned is not written again, as that makes the host forget every neighbour on the bridge.
 */
export function pinMac(host: NetlinkSocket, before: Link): Link {
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

import { CniError, Code } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { randomMac } from "../../kernel/random.ts";
import { writeSysctlIfKnown } from "../../kernel/sysctl.ts";
import { contains, formatPrefix, networkOf, type Prefix, samePrefix } from "../../net/ip.ts";
import { addAddress, decodeAddress, deleteAddress, getAddresses } from "../../netlink/rtnetlink/address.ts";
import { createVeth, type Link, setAlias, setLink } from "../../netlink/rtnetlink/link.ts";
import { missingAddresses } from "../address/missing.ts";
import type { GatewaysPart } from "../attachment.ts";
import type { Kind } from "../kind.ts";
import { findLink } from "./links.ts";
import { plugMessages } from "./port.ts";
import { hostSide, waitForDelivery } from "./readiness.ts";

/** The addresses of the host that pods of a bridge have as their gateways. */
export const gateways: Kind<GatewaysPart> = {
  apply(part, { host }, { made }) {
    const holder = ensureGateways(host, part, made.bridge!);
    if (part.vlanInterface) made.vlanInterface = holder;
  },

  settle({ addresses }, site) {
    waitForDelivery(
      hostSide(site),
      addresses.map(({ ip }) => ip),
    );
  },

  compare({ bridge, addresses, vlanInterface }, site, foreign) {
    if (foreign) return [];
    const holder = site.seenLink(vlanInterface?.name ?? bridge);
    if (holder) return missingAddresses(site.host, holder, addresses);
    return vlanInterface ? [`VLAN interface ${vlanInterface.name} does not exist`] : [];
  },
};

/** Makes sure the gateway addresses are on the bridge, or on its VLAN interface, which is returned. */
function ensureGateways(host: NetlinkSocket, part: GatewaysPart, bridge: Link): Link {
  const holder = part.vlanInterface ? ensureVlanInterface(host, part.vlanInterface, bridge) : bridge;
  for (const address of part.addresses) ensureAddress(host, holder, address, part.force);
  return holder;
}

/**
 * The interface `<bridge>.<vlan>`: one end of a veth pair in the host whose other end is a port of the bridge in that
 * VLAN.
 */
function ensureVlanInterface(
  host: NetlinkSocket,
  { name, mac, vlans }: NonNullable<GatewaysPart["vlanInterface"]>,
  bridge: Link,
): Link {
  const found = findLink(host, name);
  if (found) return found;
  const port = `veth${randomMac().replaceAll(":", "").slice(-11)}`;
  try {
    host.request([
      createVeth({ host: { name: port, mac: randomMac() }, pod: { name, mac }, mtu: bridge.mtu, master: bridge.index }),
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

import { CniError, Code } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { randomMac } from "../../kernel/random.ts";
import { contains, formatPrefix, isLinkLocal, networkOf, type Prefix, samePrefix } from "../../net/ip.ts";
import { deleteAddress } from "../../netlink/rtnetlink/address.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { addRoute } from "../../netlink/rtnetlink/route.ts";
import { assertUnclaimed } from "../address/claims.ts";
import { addHostAddresses } from "../address/host-addresses.ts";
import { connectedRoutes, lackingAddresses, lackingRoutes, missingAddresses } from "../address/missing.ts";
import type { GatewaysPart } from "../attachment.ts";
import type { Kind, Progress } from "../kind.ts";
import type { Site } from "../site.ts";
import { stepOf } from "../step.ts";
import { findLink, listAddresses } from "./links.ts";
import { hostSide, waitForDelivery } from "./readiness.ts";
import { compareVlanInterface, ensureVlanInterface } from "./vlan-interface.ts";

/** The addresses of the host that pods of a bridge have as their gateways. */
export const gateways: Kind<GatewaysPart> = {
  apply(part, site, progress) {
    const holder = ensureGateways(site, part, progress);
    if (part.vlanInterface) progress.made.vlanInterface = holder;
  },

  settle({ addresses }, site) {
    waitForDelivery(
      hostSide(site),
      addresses.map(({ ip }) => ip),
    );
  },

  mend(part, site, { undo }) {
    const { bridge, addresses, vlanInterface: vlan } = part;
    const name = vlan?.name ?? bridge;
    const holder = site.seenLink(name);
    const wanted = addresses.map((prefix) => ({ prefix }));
    const missing = holder ? lackingAddresses(site.host, holder, wanted) : wanted;
    // addresses of others are not taken away, whatever ADD does
    const mended: GatewaysPart = {
      ...part,
      force: false,
      ...(vlan && { vlanInterface: { ...vlan, mac: vlan.mac || randomMac() } }),
    };
    const ensure = (): void =>
      void ensureGateways(site, mended, { undo, made: { bridge: findLink(site.host, bridge)! } });
    const isRight = !vlan || (holder && compareVlanInterface(holder, vlan, bridge, site).length === 0);
    const routes = holder?.up
      ? lackingRoutes(site.host, holder, connectedRoutes(wanted.filter((address) => !missing.includes(address))))
      : [];
    const steps = [
      ...(isRight ? [] : [`set up VLAN interface ${name}`]),
      ...missing.map(({ prefix }) => `add address ${formatPrefix(prefix)} to link ${name}`),
    ].map((what) => ({ what, run: ensure }));
    return [...steps, ...routes.map((route) => stepOf(site.host, addRoute(holder!, route)))].map((step) => ({
      ...step,
      isShared: true,
    }));
  },

  compare({ bridge, addresses, vlanInterface }, site, foreign) {
    if (foreign) return [];
    const holder = site.seenLink(vlanInterface?.name ?? bridge);
    if (!holder) return vlanInterface ? [`VLAN interface ${vlanInterface.name} does not exist`] : [];
    return [
      ...(vlanInterface ? compareVlanInterface(holder, vlanInterface, bridge, site) : []),
      ...missingAddresses(site.host, holder, addresses),
    ];
  },
};

/** Makes sure the gateway addresses are on the bridge, or on its VLAN interface, which is returned. */
function ensureGateways(site: Site, part: GatewaysPart, { undo, made, holderOf }: Progress): Link {
  const { host, log } = site;
  const bridge = made.bridge!;
  const holder = part.vlanInterface ? ensureVlanInterface(site, part.vlanInterface, bridge) : bridge;
  const present = listAddresses(host, holder);
  const missing = part.addresses.filter((wanted) => !present.some((prefix) => samePrefix(prefix, wanted)));
  assertUnclaimed(
    missing.map(({ ip }) => ip),
    holder,
    host,
    holderOf,
  );
  const others = strangers(present, [...part.addresses, ...part.others], missing);
  const [first] = others;
  if (first && !part.force) {
    const { ip } = first;
    const wanted = missing.find((each) => each.ip.family === ip.family)!;
    throw new CniError(
      Code.InvalidConfig,
      `"${holder.name}" already has an IP address different from ${formatPrefix(wanted)}: ${formatPrefix(first)}; ` +
        `remove it, or set "forceAddress": true to have podwire replace it`,
    );
  }
  for (const prefix of others) {
    undo.push(`put ${formatPrefix(prefix)} back`, () => addMissing(host, holder, prefix));
    log.warn(
      `forceAddress: ${formatPrefix(prefix)} is taken from ${holder.name}; pods that have it as gateway lose it`,
    );
    removeAddress(host, holder, prefix);
  }
  // with a primary address the kernel takes away its secondary ones
  const left = others.length > 0 ? listAddresses(host, holder) : present;
  for (const wanted of part.addresses) {
    if (!left.some((prefix) => samePrefix(prefix, wanted))) addMissing(host, holder, wanted);
  }
  return holder;
}

/**
 * What is in the way of addresses that are missing: IPv4, of which an interface has its network's gateways only; IPv6
 * of the same subnets, but for link-local ones, of which every link has the kernel's own.
 */
const strangers = (present: readonly Prefix[], wanted: readonly Prefix[], missing: readonly Prefix[]): Prefix[] =>
  present.filter(
    (prefix) =>
      !(prefix.ip.family === 6 && isLinkLocal(prefix.ip)) &&
      !wanted.some((own) => samePrefix(own, prefix)) &&
      missing.some((own) => own.ip.family === prefix.ip.family && (own.ip.family === 4 || overlaps(own, prefix))),
  );

const overlaps = (a: Prefix, b: Prefix): boolean => contains(networkOf(a), b.ip) || contains(networkOf(b), a.ip);

/** One that another ADD put there just now is there. */
function addMissing(host: NetlinkSocket, link: Link, prefix: Prefix): void {
  try {
    addHostAddresses(host, link, [{ prefix }]);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/** One that went with its primary address is gone. */
function removeAddress(host: NetlinkSocket, link: Link, prefix: Prefix): void {
  try {
    host.request([deleteAddress(link, prefix)]);
  } catch (error) {
    if (!isErrno(error, "EADDRNOTAVAIL")) throw error;
  }
}

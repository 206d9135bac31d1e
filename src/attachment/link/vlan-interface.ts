import { CniError, Code } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import { randomMac } from "../../kernel/random.ts";
import { createVeth, type Link, setAlias, setLink } from "../../netlink/rtnetlink/link.ts";
import type { GatewaysPart } from "../attachment.ts";
import type { Site } from "../site.ts";
import { acceptNoRouter, trySysctl } from "../sysctls.ts";
import { findLink, findPeer } from "./links.ts";
import { comparePort, comparePortVlans } from "./compare-port.ts";
import { plugMessages } from "./port.ts";

type VlanInterface = NonNullable<GatewaysPart["vlanInterface"]>;

/** Pods of this VLAN must reach it; what else its port is in is for networks with other trunks to say. */
const compareVlan = (port: Link, { vlans: { untagged } }: VlanInterface, site: Site): string[] =>
  comparePortVlans(port, { untagged, tagged: [] }, { site, allowed: () => true });

/**
 * The interface `<bridge>.<vlan>`: one end of a veth pair in the host whose other end is a port of the bridge in that
 * VLAN. One that is there is brought to that, as an ADD that was killed, or a bridge made anew, left it; one that is
 * something else, as of an administrator, is used as it is.
 */
export function ensureVlanInterface(site: Site, wanted: VlanInterface, bridge: Link): Link {
  const { host, log } = site;
  const link = findLink(host, wanted.name) ?? makePair(site, wanted, bridge);
  trySysctl(acceptNoRouter(link.name), log);
  const port = findPeer(host, link);
  if (port && (port.master ?? bridge.index) === bridge.index) ensurePort(port, { wanted, bridge }, site);
  if (!link.up) host.request([setLink(link, { up: true })]);
  return link;
}

function makePair({ host }: Site, { name, mac }: VlanInterface, bridge: Link): Link {
  const port = `veth${randomMac().replaceAll(":", "").slice(-11)}`;
  try {
    host.request([
      createVeth({ host: { name: port, mac: randomMac() }, pod: { name, mac }, mtu: bridge.mtu, master: bridge.index }),
      setAlias(port, `podwire: VLAN port of ${name}`),
    ]);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error; // another ADD was faster
  }
  const made = findLink(host, name);
  if (!made) throw new CniError(Code.TryAgainLater, `VLAN interface "${name}" vanished while it was being made`);
  return made;
}

function ensurePort(port: Link, { wanted, bridge }: { wanted: VlanInterface; bridge: Link }, site: Site): void {
  const { host } = site;
  const { vlans } = wanted;
  if (port.master === undefined) host.request([setLink(port, { master: bridge.index })]);
  if (port.master === undefined || compareVlan(port, wanted, site).length > 0) {
    host.request(plugMessages(port, { hairpin: false, isolated: false, vlans }));
  }
  if (!port.up) host.request([setLink(port, { up: true })]);
}

/** How the interface differs from what ADD made or found, in words; `seen` is what is there. */
export function compareVlanInterface(seen: Link, wanted: VlanInterface, bridge: string, site: Site): string[] {
  const { name, mtu } = wanted;
  const port = findPeer(site.host, seen);
  return [
    ...(seen.up ? [] : [`VLAN interface ${name} is down`]),
    ...(mtu && seen.mtu !== mtu ? [`VLAN interface ${name} has MTU ${seen.mtu}, not ${mtu}`] : []),
    ...(port && !port.up ? [`bridge port ${port.name} of VLAN interface ${name} is down`] : []),
    ...(port ? comparePort(port, { bridge, hairpin: false, isolated: false }, site) : []),
    ...(port ? compareVlan(port, wanted, site) : []),
  ];
}

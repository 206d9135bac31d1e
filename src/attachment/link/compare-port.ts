import { isErrno } from "../../kernel/linux.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { BRIDGE_VLAN_INFO, decodePortVlans, getPortVlans, rangesOf } from "../../netlink/rtnetlink/port-vlan.ts";
import type { BridgePort, PortVlans } from "../attachment.ts";
import type { Site } from "../site.ts";

const { PVID, UNTAGGED } = BRIDGE_VLAN_INFO;

/** How a port differs from what is wanted, in words; `site` has the bridge, of which nothing is said here. */
export function comparePort(
  port: Link,
  wanted: BridgePort & { bridge: string },
  site: Site,
  foreign = false,
): string[] {
  const bridge = site.seenLink(wanted.bridge);
  if (!bridge || bridge.kind !== "bridge") return [];
  if (port.master !== bridge.index) return [`link ${port.name} is not a port of bridge ${wanted.bridge}`];
  // the reference kept it before there was a key for that
  const kept = wanted.vlans?.dropDefault && !foreign ? undefined : bridge.defaultVlan;
  return [
    ...(port.hairpin === wanted.hairpin
      ? []
      : [`hairpin mode of bridge port ${port.name} is ${port.hairpin ? "on" : "off"}`]),
    ...(port.isolated === wanted.isolated
      ? []
      : [`isolation of bridge port ${port.name} is ${port.isolated ? "on" : "off"}`]),
    ...(wanted.vlans ? comparePortVlans(port, wanted.vlans, { site, allowed: (vid) => vid === kept }) : []),
  ];
}

/** How the VLANs of a bridge port differ from what is wanted, in words; it may be in those that are `allowed`, too. */
export function comparePortVlans(
  port: Link,
  wanted: Pick<PortVlans, "tagged" | "untagged">,
  { site, allowed }: { site: Site; allowed(vid: number): boolean },
): string[] {
  const present = listPortVlans(port, site);
  if (!present) return [];
  const expected = new Map(wanted.tagged.map((vid) => [vid, 0]));
  expected.set(wanted.untagged, PVID | UNTAGGED);
  const missing = [...expected.keys()].filter((vid) => !present.has(vid)).toSorted((a, b) => a - b);
  const others = [...present.keys()].filter((vid) => !expected.has(vid) && !allowed(vid));
  const changed = [...expected].flatMap(([vid, flags]) => {
    const now = present.get(vid) ?? flags;
    return now === flags ? [] : [`VLAN ${vid} of bridge port ${port.name} is ${describe(now)}, not ${describe(flags)}`];
  });
  return [
    ...(missing.length > 0 ? [`bridge port ${port.name} is not in ${describeVlans(missing)}`] : []),
    ...(others.length > 0 ? [`bridge port ${port.name} is in ${describeVlans(others)} as well`] : []),
    ...changed,
  ];
}

/** The VLANs of a bridge port with their flags; undefined, with a warning, where the kernel does not tell. */
function listPortVlans(port: Link, { host, log }: Site): Map<number, number> | undefined {
  try {
    return new Map(host.dump(getPortVlans(port)).flatMap(decodePortVlans));
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP")) throw error;
    log.warn(`the VLANs of bridge port ${port.name} are not compared: that needs Linux 5.6`);
    return undefined;
  }
}

/** As `bridge vlan` says it. */
const describe = (flags: number): string =>
  [...(flags & PVID ? ["PVID"] : []), ...(flags & UNTAGGED ? ["Egress Untagged"] : [])].join(" ") || "tagged";

const describeVlans = (ids: readonly number[]): string =>
  `VLAN ${rangesOf(ids)
    .map(([first, last]) => (first === last ? first : `${first}-${last}`))
    .join(", ")}`;

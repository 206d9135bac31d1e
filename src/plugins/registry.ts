import type { Plugin } from "../cni/invocation.ts";
import { bandwidth } from "./chained/bandwidth.ts";
import { dummy } from "./interface/dummy.ts";
import { ipvlan } from "./interface/ipvlan.ts";
import { vlan } from "./interface/vlan.ts";
import { bridge } from "./interface/bridge.ts";
import { flannel } from "./interface/flannel.ts";
import { hostDevice } from "./interface/host-device.ts";
import { hostLocal } from "./ipam/host-local.ts";
import { dhcp } from "./ipam/dhcp.ts";
import { staticIpam } from "./ipam/static.ts";
import { firewall } from "./chained/firewall.ts";
import { loopback } from "./interface/loopback.ts";
import { macvlan } from "./interface/macvlan.ts";
import { tap } from "./interface/tap.ts";
import { vrf } from "./chained/vrf.ts";
import { portmap } from "./chained/portmap.ts";
import { ptp } from "./interface/ptp.ts";
import { sbr } from "./chained/sbr.ts";
import { tuning } from "./chained/tuning.ts";
import { chainedPlugin, interfacePlugin, type PartsPlugin } from "../verbs/plugin.ts";

const plugins: readonly (Plugin | PartsPlugin)[] = [
  interfacePlugin(bridge),
  interfacePlugin(ptp),
  interfacePlugin(macvlan),
  interfacePlugin(hostDevice),
  interfacePlugin(ipvlan),
  interfacePlugin(vlan),
  interfacePlugin(dummy),
  interfacePlugin(tap),
  hostLocal,
  staticIpam,
  dhcp,
  loopback,
  chainedPlugin(portmap),
  chainedPlugin(firewall),
  flannel((type) => findPlugin(type)),
  chainedPlugin(sbr),
  chainedPlugin(bandwidth),
  chainedPlugin(tuning),
  chainedPlugin(vrf),
];

/** Names of the plugins this executable can be, which are the names of links to it and values of `type`. */
export const pluginNames: readonly string[] = plugins.map(({ name }) => name);

/** The plugin an executable of that name is. */
export const findPlugin = (name: string): Plugin | undefined => plugins.find((plugin) => plugin.name === name);

/** As `findPlugin`, but only one whose attachments are described in parts. */
export function findPartsPlugin(name: string): PartsPlugin | undefined {
  const plugin = findPlugin(name);
  return plugin && "expecting" in plugin ? (plugin as PartsPlugin) : undefined;
}

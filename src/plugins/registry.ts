import type { Plugin } from "../cni/invocation.ts";
import { bridge } from "./bridge.ts";
import { hostLocal } from "./host-local.ts";
import { loopback } from "./loopback.ts";
import { portmap } from "./portmap.ts";
import { ptp } from "./ptp.ts";
import { wiringPlugin } from "./wiring.ts";

const plugins: readonly Plugin[] = [wiringPlugin(bridge), wiringPlugin(ptp), hostLocal, loopback, portmap];

/** Names of the plugins this executable can be, which are the names of links to it and values of `type`. */
export const pluginNames: readonly string[] = plugins.map(({ name }) => name);

/** The plugin an executable of that name is. */
export const findPlugin = (name: string): Plugin | undefined => plugins.find((plugin) => plugin.name === name);

import type { Plugin } from "../cni/invocation.ts";

// `require`, not `import`: a call runs one plugin and pays for loading that one alone.
const plugins: Record<string, () => Plugin> = {
  bridge: () => (require("./bridge.ts") as typeof import("./bridge.ts")).bridge,
  ptp: () => (require("./ptp.ts") as typeof import("./ptp.ts")).ptp,
  "host-local": () => (require("./host-local.ts") as typeof import("./host-local.ts")).hostLocal,
  loopback: () => (require("./loopback.ts") as typeof import("./loopback.ts")).loopback,
  portmap: () => (require("./portmap.ts") as typeof import("./portmap.ts")).portmap,
};

/** Names of the plugins this executable can be, which are the names of links to it and values of `type`. */
export const pluginNames = Object.keys(plugins);

/** The plugin an executable of that name is. */
export const findPlugin = (name: string): Plugin | undefined => (Object.hasOwn(plugins, name) ? plugins[name]!() : undefined);

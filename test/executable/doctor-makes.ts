import { loadConf, type NetworkList } from "./harness.ts";
import { Scene } from "./scene.ts";

// What faults are made of: nodes of several makes, and what breaks them.

const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
const mapped = { capabilities: { portMappings } };
/** A configuration of conf/ with other keys of its plugin at that place. */
const changed = (file: string, at: number, more: object): NetworkList => {
  const list = loadConf(file);
  return { ...list, plugins: list.plugins.map((plugin, n) => (n === at ? { ...plugin, ...more } : plugin)) };
};

/** Nodes whose pods are made in one way each. */
export const makes = {
  bridge: async () => Scene.make(loadConf("bridge.json")),
  isolated: async () => Scene.make(loadConf("bridge-isolated.json")),
  hairpin: async () => Scene.make(changed("bridge.json", 0, { hairpinMode: true })),
  spoofchk: async () => Scene.make(changed("bridge.json", 0, { macspoofchk: true })),
  "bridge, iptables": async () => Scene.make(changed("bridge.json", 0, { ipMasqBackend: "iptables" })),
  "bridge, dual stack": async () => Scene.make(loadConf("bridge-dual-stack.json")),
  ptp: async () => Scene.make(loadConf("ptp.json")),
  "ptp, MTU": async () => Scene.make(changed("ptp.json", 0, { mtu: 1400 })),
  "ptp, dual stack": async () => Scene.make(loadConf("ptp-dual-stack.json")),
  "ptp, link-local": async () => Scene.make(loadConf("ptp-link-local.json")),
  kindnet: async () => Scene.make(loadConf("kindnet.conflist"), mapped),
  "kindnet, iptables": async () => Scene.make(changed("kindnet.conflist", 1, { backend: "iptables" }), mapped),
  "kindnet, dual stack": async () => Scene.make(loadConf("kindnet-dual-stack.conflist"), mapped),
};

/** What is done to a scene, as lines of a shell on the node; `pod:` before a line is in the first pod. */
export type Break = (scene: Scene) => string[] | Promise<string[]>;

export const bridgeOf = ({ list }: Scene): string => (list.plugins[0]!.bridge as string | undefined) ?? "cni0";
export const path = ({ first }: Scene): string => first.pod.path;
export const subnet = ({ first }: Scene): string => first.ip4.replace(/\.\d+$/, ".0/24");

/** What is done, to which make of node, and what doctor must say first: the layer, and words. */
export type Fault = readonly [what: string, make: keyof typeof makes, breakIt: Break, layer: string, says: RegExp];

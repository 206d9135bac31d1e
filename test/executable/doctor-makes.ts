import { loadConf, type NetworkList } from "./harness.ts";
import { k3s, nerdctl } from "../harness/lists.ts";
import { Scene } from "./scene.ts";

// What faults are made of: nodes of several makes, and what breaks them.

const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
const mapped = { capabilities: { portMappings } };
/** A configuration of conf/ with other keys of its plugin at that place. */
const changed = (file: string, at: number, more: object): NetworkList => {
  const list = loadConf(file);
  return { ...list, plugins: list.plugins.map((plugin, n) => (n === at ? { ...plugin, ...more } : plugin)) };
};

/** What sbr is for, on the uplink, whose machine outside is the gateway. */
const sourceRouted = (): NetworkList => {
  const list = changed("sbr.conflist", 0, { master: "uplink" });
  const range = { subnet: "10.31.0.0/24", gateway: "10.31.0.1" };
  const ipam = { type: "host-local", ranges: [[range]], routes: [{ dst: "0.0.0.0/0" }] };
  return { ...list, plugins: list.plugins.map((plugin) => (plugin.ipam ? { ...plugin, ipam } : plugin)) };
};
const limits = { ingressRate: 100_000_000, ingressBurst: 8_000_000, egressRate: 50_000_000, egressBurst: 8_000_000 };

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
  firewall: async () => Scene.make(loadConf("bridge-firewall.conflist"), mapped),
  "firewall, isolated": async () => Scene.make(changed("bridge-firewall.conflist", 2, { ingressPolicy: "isolated" })),
  "firewall, iptables": async () => Scene.make(changed("bridge-firewall.conflist", 2, { backend: "iptables" })),
  bandwidth: async () => Scene.make(loadConf("bridge-bandwidth.conflist")),
  tuning: async () => Scene.make(loadConf("bridge-tuning.conflist")),
  sbr: async () => Scene.make(sourceRouted()),
  macvlan: async () => Scene.make(changed("macvlan.json", 0, { master: "uplink" })),
  "host-device": async () =>
    Scene.make(loadConf("host-device.json"), {
      pods: 1,
      prepare: ["ip link add lan0 type veth peer lan1", "ip link set lan1 up", "ip address add 10.33.0.1/24 dev lan1"],
    }),
  tap: async () => Scene.make(loadConf("tap.json")),
  // for a kernel that has them: nftables there have no NAT
  "bridge, VLAN": async () => Scene.make(changed("bridge-vlan.json", 0, { ipMasq: false })),
  "bridge, trunk": async () =>
    Scene.make(changed("bridge.json", 0, { ipMasq: false, vlan: 100, vlanTrunk: [{ minID: 20, maxID: 30 }] })),
  vrf: async () => Scene.make(loadConf("vrf.conflist")),
  ipvlan: async () =>
    Scene.make(changed("ipvlan.json", 0, { master: "uplink" }), { outside: ["ip address add 10.33.0.1/24 dev eth0"] }),
  vlan: async () =>
    Scene.make(loadConf("vlan.json"), {
      pods: 1,
      outside: ["ip link add link eth0 name eth0.100 up type vlan id 100", "ip address add 10.32.0.1/24 dev eth0.100"],
    }),
  dummy: async () => Scene.make(loadConf("dummy.json"), { pods: 1 }),
  k3s: async () => Scene.make(k3s, { capabilities: { portMappings, bandwidth: limits } }),
  // as flannel's own manifest has it
  flannel: async () => Scene.make({ ...k3s, cniVersion: "0.3.1", plugins: k3s.plugins.slice(0, 2) }, mapped),
  nerdctl: async () => Scene.make(nerdctl(), mapped),
};

export type Make = keyof typeof makes;

/** What is done to a scene, as lines of a shell on the node; `pod:` before a line is in the first pod. */
export type Break = (scene: Scene) => string[] | Promise<string[]>;

/** Does it. */
export async function apply(scene: Scene, lines: string[]): Promise<void> {
  for (const line of lines) {
    if (line.startsWith("pod: ")) await scene.first.pod.must("sh", "-c", line.slice("pod: ".length));
    else await scene.node.must("sh", "-c", line);
  }
}

/** A line that fails unless an address answers, however busy the machine is. */
export const answers = (address: string): string => `pod: ping -n -c 1 -i 0.2 -w 20 ${address}`;

export const bridgeOf = ({ list }: Scene): string => (list.plugins[0]!.bridge as string | undefined) ?? "cni0";
export const path = ({ first }: Scene): string => first.pod.path;
export const subnet = ({ first }: Scene): string => first.ip4.replace(/\.\d+$/, ".0/24");

/** What is done, to which make of node, and what doctor must say first: the layer, and words. */
export type Fault = readonly [what: string, make: Make, breakIt: Break, layer: string, says: RegExp];

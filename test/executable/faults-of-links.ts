import { bridgeOf, type Fault, path, subnet } from "./doctor-makes.ts";
import type { Scene } from "./scene.ts";

/** From the namespace down to the gateway. */
export const faultsOfLinks: readonly Fault[] = [
  [
    "its path is unmounted while the pod runs",
    "ptp",
    (s) => [`touch ${path(s)}-kept`, `mount --bind ${path(s)} ${path(s)}-kept`, `umount ${path(s)}`, `rm ${path(s)}`],
    "namespace",
    /is not there/,
  ],
  [
    "another namespace is at its path",
    "ptp",
    (s) => [
      `touch ${path(s)}-kept`,
      `mount --bind ${path(s)} ${path(s)}-kept`,
      `umount ${path(s)}`,
      `mount --bind ${s.node.path} ${path(s)}`,
    ],
    "namespace",
    /is another namespace/,
  ],

  [
    "the pod's end is down",
    "bridge",
    () => ["pod: ip link set eth0 down"],
    "link",
    /eth0 in the container is down|eth0 is down/,
  ],
  [
    "the host's end is down",
    "ptp",
    (s) => [`ip link set ${s.first.hostVeth} down`],
    "link",
    /veth.* on the host is down/,
  ],
  [
    "the pod's MTU differs from the configured one",
    "ptp, MTU",
    () => ["pod: ip link set eth0 mtu 1300"],
    "link",
    /MTU 1300, not 1400/,
  ],
  ["the ends' MTUs differ", "ptp", (s) => [`ip link set ${s.first.hostVeth} mtu 1300`], "link", /MTU/],
  ["the pair is deleted", "ptp", (s) => [`ip link delete ${s.first.hostVeth}`], "link", /does not exist on the host/],
  [
    "the pod's interface is renamed",
    "ptp",
    () => ["pod: ip link set eth0 down", "pod: ip link set eth0 name eth9"],
    "link",
    /eth0 does not exist in the container/,
  ],
  [
    "the pod's interface is replaced",
    "ptp",
    (s) => [`ip link delete ${s.first.hostVeth}`, "pod: ip link add eth0 type bridge"],
    "link",
    /does not exist on the host|is not a veth/,
  ],
  [
    "the pod's MAC is changed",
    "bridge",
    () => ["pod: ip link set eth0 address 02:00:00:00:00:99"],
    "link",
    /MAC 02:00:00:00:00:99, not/,
  ],

  ["the bridge is deleted", "bridge", (s) => [`ip link delete ${bridgeOf(s)}`], "bridge", /bridge .* does not exist/],
  ["the bridge is down", "bridge", (s) => [`ip link set ${bridgeOf(s)} down`], "bridge", /bridge .* is down/],
  [
    "the port is pulled out of the bridge",
    "bridge",
    (s) => [`ip link set ${s.first.hostVeth} nomaster`],
    "bridge",
    /is not a port of bridge/,
  ],
  [
    "the port's hairpin mode is off",
    "hairpin",
    (s) => [`bridge link set dev ${s.first.hostVeth} hairpin off`],
    "bridge",
    /hairpin mode .* is off/,
  ],
  [
    "the port is not isolated any more",
    "isolated",
    (s) => [`bridge link set dev ${s.first.hostVeth} isolated off`],
    "bridge",
    /isolation .* is off/,
  ],

  [
    "the address is removed",
    "bridge",
    (s) => [
      `pod: ip address flush dev eth0 scope global`,
      `pod: ip route add default via ${s.first.ip4.replace(/\d+$/, "1")} dev eth0 onlink`,
    ],
    "address",
    /address .* is missing on eth0/,
  ],
  [
    "the address has another prefix length",
    "ptp",
    (s) => [`pod: ip address add ${s.first.ip4}/32 dev eth0`, `pod: ip address delete ${s.first.ip4}/24 dev eth0`],
    "address",
    /address .*\/24 is missing on eth0/,
  ],
  [
    "the IPv6 address is removed",
    "bridge, dual stack",
    (s) => [`pod: ip -6 address delete ${s.first.ip6}/64 dev eth0`],
    "address",
    /address .*:.* is missing on eth0/,
  ],
  [
    "duplicate address detection failed",
    "bridge, dual stack",
    (s) => [
      `pod: ip -6 address delete ${s.first.ip6}/64 dev eth0`,
      `nsenter --net=${s.pods[1]!.pod.path} ip -6 address add ${s.first.ip6}/64 dev eth0 nodad`,
      "pod: echo 1 > /proc/sys/net/ipv6/conf/eth0/accept_dad; echo 1 > /proc/sys/net/ipv6/conf/all/accept_dad",
      `pod: ip -6 address add ${s.first.ip6}/64 dev eth0`,
      "pod: timeout 60 sh -c 'until ip -6 address show dev eth0 | grep -q dadfailed; do :; done'",
    ],
    "address",
    /duplicate address detection failed/,
  ],
  [
    "the node has the pod's address too",
    "bridge",
    (s) => [`ip address add ${s.first.ip4}/32 dev uplink`],
    "address",
    /is an address of this node too, on uplink/,
  ],
  ["a second pod has it", "bridge", async (s) => [await twin(s)], "address", /is also that of default\/twin/],

  [
    "the lease file is gone",
    "bridge",
    (s) => [`rm ${s.node.dataDir}/${s.list.name}/${s.first.ip4}`],
    "lease",
    /is leased to nobody/,
  ],
  [
    "the lease names another container",
    "bridge",
    (s) => [`printf 'thief\\r\\neth0' > ${s.node.dataDir}/${s.list.name}/${s.first.ip4}`],
    "lease",
    /is leased to thief/,
  ],

  [
    "the pod's default route is gone",
    "bridge",
    () => ["pod: ip route delete default"],
    "route",
    /route 0\.0\.0\.0\/0 via .* is missing/,
  ],
  [
    "the pod's route to its gateway is gone",
    "ptp",
    (s) => [`pod: ip route delete ${s.first.ip4.replace(/\d+$/, "1")}/32`],
    "route",
    /route .*\/32 through eth0 is missing/,
  ],
  [
    "the node's route to the pod is gone",
    "ptp",
    (s) => [`ip route delete ${s.first.ip4}`],
    "route",
    /route .*\/32 through veth.* is missing/,
  ],
  [
    "the node's IPv6 route to the pod is gone",
    "kindnet, dual stack",
    (s) => [`ip -6 route delete ${s.first.ip6}`],
    "route",
    /route .*:.*\/128 through veth.* is missing/,
  ],
  [
    "a narrower route leads elsewhere",
    "bridge",
    (s) => [`ip route add ${s.first.ip4}/32 via 192.0.2.2`],
    "route",
    /the node sends what is for .* to uplink/,
  ],
  [
    "a rule leads to another table",
    "ptp",
    (s) => ["ip route add default via 192.0.2.2 table 77", `ip rule add to ${s.first.ip4} lookup 77`],
    "route",
    /the node sends what is for .* to uplink/,
  ],
  [
    "the pod's address is unreachable",
    "bridge",
    (s) => [`ip route add unreachable ${s.first.ip4}/32`],
    "route",
    /the node sends what is for .* nowhere/,
  ],

  [
    "the bridge's gateway address is gone",
    "bridge",
    (s) => [`ip address flush dev ${bridgeOf(s)}`],
    "gateway",
    /address 10\.\d+\.\d+\.1\/\d+ is missing on/,
  ],
  [
    "one of two gateway addresses is gone",
    "bridge, dual stack",
    (s) => [`ip -6 address flush dev ${bridgeOf(s)} scope global`, `ip -6 route add fd00::/8 dev ${bridgeOf(s)}`],
    "gateway",
    /address .*:.* is missing on/,
  ],
  [
    "the host's end lacks the gateway's address",
    "ptp",
    (s) => [
      `ip address add 192.0.2.77/32 dev ${s.first.hostVeth}`,
      `ip address delete ${s.first.ip4.replace(/\d+$/, "1")}/32 dev ${s.first.hostVeth}`,
    ],
    "gateway",
    /address .*\/32 is missing on veth/,
  ],
  [
    "the gateway does not answer",
    "bridge",
    (s) => [`sysctl -qw net.ipv4.conf.${bridgeOf(s)}.arp_ignore=8`, "pod: ip neighbour flush all"],
    "gateway",
    /does not answer the pod/,
  ],
  [
    "the pod takes another MAC for the gateway",
    "bridge",
    (s) => [
      `pod: ip neighbour replace ${s.first.ip4.replace(/\d+$/, "1")} lladdr 02:00:00:00:00:66 dev eth0 nud permanent`,
    ],
    "gateway",
    /the pod takes 02:00:00:00:00:66 for/,
  ],
];

/** Another network gives a pod the first one's address. */
async function twin(scene: Scene): Promise<string> {
  const { list, node, first } = scene;
  const pod = await node.pod();
  const [plugin] = list.plugins;
  const ipam = { type: "host-local", dataDir: node.dataDir, subnet: subnet(scene), rangeStart: first.ip4 };
  const config = { cniVersion: list.cniVersion, name: "twins", type: "bridge", bridge: "br9", ipam };
  const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=twin";
  await node.succeed("ADD", { plugin: plugin!.type, config, containerId: "twin", netns: pod, args });
  return "true";
}

import { answers, bridgeOf } from "../executable/doctor-makes.ts";
import type { KindFault } from "../executable/faults-of-kinds.ts";
import { testKindFaults } from "../executable/kind-faults.ts";
import type { Scene } from "../executable/scene.ts";

const veth = ({ first }: Scene): string => first.hostVeth;
const vlan = (line: (s: Scene) => string) => (s: Scene) => [`bridge vlan ${line(s)}`];
const port = "$(ip -o link show | grep 'VLAN port of' | sed 's/^[0-9]*: //;s/@.*//')";
/** Both pods and the gateway are in VLAN 100. */
const inVlan = (s: Scene): string[] => [
  answers("10.24.0.1"),
  answers(s.pods[1]!.ip4),
  `bridge vlan show dev ${veth(s)} | grep -q '100 PVID Egress Untagged'`,
];
const inVrf = (): string[] => [
  "pod: ip route show vrf blue | grep -q '^default via 10.35.0.1'",
  answers("-I blue 10.35.0.1"),
];

const faults: readonly KindFault[] = [
  [
    "its VLAN is deleted",
    "bridge, VLAN",
    vlan((s) => `del vid 100 dev ${veth(s)}`),
    "bridge",
    /is not in VLAN 100/,
    inVlan,
  ],
  [
    "it is in another VLAN",
    "bridge, VLAN",
    (s) => [`bridge vlan del vid 100 dev ${veth(s)}`, `bridge vlan add vid 200 dev ${veth(s)} pvid untagged`],
    "bridge",
    /is not in VLAN 100/,
    (s) => [...inVlan(s), `! bridge vlan show dev ${veth(s)} | grep -q 200`],
  ],
  [
    "its VLAN is tagged on the way out",
    "bridge, VLAN",
    vlan((s) => `add vid 100 dev ${veth(s)} pvid`),
    "bridge",
    /VLAN 100 of bridge port veth\w+ is PVID, not PVID Egress Untagged/,
    inVlan,
  ],
  [
    "it hears the default VLAN",
    "bridge, VLAN",
    vlan((s) => `add vid 1 dev ${veth(s)} untagged`),
    "bridge",
    /is in VLAN 1 as well/,
    inVlan,
  ],
  [
    "VLAN filtering is off",
    "bridge, VLAN",
    (s) => [`ip link set ${bridgeOf(s)} type bridge vlan_filtering 0`],
    "bridge",
    /does not filter VLANs/,
    inVlan,
  ],
  [
    "the bridge is deleted",
    "bridge, VLAN",
    (s) => [`ip link delete ${bridgeOf(s)}`],
    "bridge",
    /does not exist/,
    (s) => inVlan(s).filter((line) => !line.includes(s.pods[1]!.ip4)), // which has no bridge still
  ],
  [
    "the VLAN interface is deleted",
    "bridge, VLAN",
    () => ["ip link delete cni3.100"],
    "gateway",
    /VLAN interface/,
    inVlan,
  ],
  [
    "the VLAN interface is down",
    "bridge, VLAN",
    () => ["ip link set cni3.100 down"],
    "gateway",
    /VLAN interface/,
    inVlan,
  ],
  [
    "the VLAN interface has lost its address",
    "bridge, VLAN",
    () => ["ip address del 10.24.0.1/24 dev cni3.100", "ip route add 10.24.0.0/24 dev cni3.100"],
    "gateway",
    /address 10\.24\.0\.1\/24 is missing/,
    inVlan,
  ],
  [
    "the VLAN interface's port is not in the VLAN",
    "bridge, VLAN",
    () => [`bridge vlan del vid 100 dev ${port}`],
    "gateway",
    /is not in VLAN 100/,
    inVlan,
  ],
  [
    "the VLAN interface's port is unplugged",
    "bridge, VLAN",
    () => [`ip link set ${port} nomaster`],
    "gateway",
    /is not a port of bridge/,
    inVlan,
  ],
  [
    "the trunk is shorter",
    "bridge, trunk",
    vlan((s) => `del vid 28-30 dev ${veth(s)}`),
    "bridge",
    /is not in VLAN 28-30/,
    (s) => [`bridge -compressvlans vlan show dev ${veth(s)} | grep -q 20-30`],
  ],

  ["its VRF is deleted", "vrf", () => ["pod: ip link delete blue"], "vrf", /VRF blue does not exist/, inVrf],
  ["its VRF is down", "vrf", () => ["pod: ip link set blue down"], "vrf", /VRF blue in the container is down/, inVrf],
  [
    "it was taken out of its VRF",
    "vrf",
    () => ["pod: ip link set eth0 nomaster"],
    "vrf",
    /eth0 is not a member of VRF blue/,
    inVrf,
  ],
  [
    "its route is gone from the VRF",
    "vrf",
    () => ["pod: ip route delete default vrf blue"],
    "route",
    /route 0\.0\.0\.0\/0 .* is missing/,
    inVrf,
  ],

  [
    "an ipvlan's address is gone",
    "ipvlan",
    () => ["pod: ip address flush dev eth0"],
    "address",
    /address .* is missing on eth0/,
    () => [answers("10.33.0.1")],
  ],
  [
    "a VLAN's link is down",
    "vlan",
    () => ["pod: ip link set eth0 down"],
    "link",
    /link eth0 in the container is down/,
    () => ["pod: ip route show | grep -q '^default via 10.32.0.1'"],
  ],
  [
    "a VLAN's link is deleted",
    "vlan",
    () => ["pod: ip link delete eth0"],
    "link",
    /eth0 does not exist in the container/,
    /link eth0 in the container is gone: .*restart the pod/,
  ],
  [
    "a dummy's address is gone",
    "dummy",
    () => ["pod: ip address flush dev eth0"],
    "address",
    /address .* is missing on eth0/,
    (s) => [`pod: ip address show dev eth0 | grep -q ${s.first.ip4}`],
  ],
];

testKindFaults(faults);

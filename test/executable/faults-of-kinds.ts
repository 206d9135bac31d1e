import { answers, type Fault } from "./doctor-makes.ts";
import type { Scene } from "./scene.ts";

/** A fault, and lines that fail unless it is mended, or what repair says where it cannot mend it. */
export type KindFault = readonly [...Fault, after: RegExp | ((scene: Scene) => string[])];

const leaseOf = ({ node, list, first }: Scene): string => `${node.dataDir}/${list.name}/${first.ip4}`;
const veth = ({ first }: Scene): string => first.hostVeth;
const ifb = ({ first }: Scene): string => first.result.interfaces!.find(({ name }) => name.startsWith("bwp"))!.name;
const shaped = (s: Scene): string[] => [
  `tc qdisc show dev ${veth(s)} | grep -q 'tbf 1: root.* rate 100Mbit'`,
  `tc qdisc show dev ${ifb(s)} | grep -q 'tbf 1: root.* rate 50Mbit'`,
  `tc filter show dev ${veth(s)} ingress | grep -q 'Egress Redirect to device ${ifb(s)}'`,
  answers("192.0.2.1"),
];
/** What iptables drops unless podwire lets it pass. */
const passes = (): string[] => ["iptables -P FORWARD DROP", answers("192.0.2.2")];
const outside = (): string[] => [answers("10.31.0.1")];
const ledBySource = (s: Scene): string[] => [
  `pod: ip rule show | grep -q 'from ${s.first.ip4} lookup 100'`,
  "pod: ip route show table 100 | grep -q '^default via 10.31.0.1 dev eth0'",
  "pod: ip route show table 100 | grep -q '^10.31.0.0/24 dev eth0'",
  `pod: for turn in $(seq 10); do ping -c 1 -w 1 -I ${s.first.ip4} 192.0.2.2 || ping -c 1 -w 1 10.31.0.1 && exit; done; false`,
];

const set = (name: string): string[] => [`nft flush set inet podwire ${name}`];

/** What plugins beside bridge and ptp have made, broken. */
export const faultsOfKinds: readonly KindFault[] = [
  [
    "its lease is gone",
    "bridge",
    (s) => [`rm ${leaseOf(s)}`],
    "lease",
    /is leased to nobody/,
    (s) => [`grep -q web-1-id ${leaseOf(s)}`],
  ],
  [
    "its lease is another container's",
    "bridge",
    (s) => [`printf 'thief\\r\\neth0' > ${leaseOf(s)}`],
    "lease",
    /is leased to thief/,
    /is leased to somebody else by now: restart the pod/,
  ],
  [
    "its lease is gone",
    "k3s",
    (s) => [`rm ${leaseOf(s)}`],
    "lease",
    /leased to nobody/,
    (s) => [`test -s ${leaseOf(s)}`],
  ],
  [
    "what it lets pass is flushed",
    "firewall",
    () => set("accepted4"),
    "filter",
    /10\.31\.0\.2 in set accepted4/,
    passes,
  ],
  ["iptables' chain FORWARD is flushed", "firewall", () => ["iptables -F FORWARD"], "filter", /lacks FORWARD/, passes],
  ["iptables' table filter is flushed", "firewall", () => ["iptables -F"], "filter", /lacks/, passes],
  [
    "the policy of its bridge is flushed",
    "firewall",
    () => set("closedpods"),
    "filter",
    /a pod of podwire-fw0 in set closedpods/,
    (s) => [`nft list set inet podwire closedpods | grep -q ${veth(s)}`],
  ],
  [
    "isolated pods reach each other",
    "firewall, isolated",
    () => ["nft delete table bridge podwire"],
    "filter",
    /table podwire, chain forward: missing|in set isolated/,
    (s) => [`pod: ! ping -c 1 -w 1 ${s.pods[1]!.ip4}`],
  ],
  [
    "its rules in iptables are flushed",
    "firewall, iptables",
    () => ["iptables -F CNI-FORWARD"],
    "filter",
    /lacks/,
    passes,
  ],

  [
    "the host's end is not shaped",
    "bandwidth",
    (s) => [`tc qdisc delete dev ${veth(s)} root`],
    "bandwidth",
    /is not shaped to 12500000/,
    shaped,
  ],
  [
    "the host's end is shaped otherwise",
    "bandwidth",
    (s) => [`tc qdisc change dev ${veth(s)} root handle 1: tbf rate 1mbit burst 10k latency 25ms`],
    "bandwidth",
    /the shaper of link veth.* has rate 125000, not 12500000/,
    shaped,
  ],
  [
    "the ifb is deleted",
    "bandwidth",
    (s) => [`ip link delete ${ifb(s)}`],
    "bandwidth",
    /the ifb .* does not exist/,
    shaped,
  ],
  ["the ifb is down", "bandwidth", (s) => [`ip link set ${ifb(s)} down`], "bandwidth", /bwp.* is down/, shaped],
  [
    "what the pod sends is led past the ifb",
    "bandwidth",
    (s) => [`tc qdisc delete dev ${veth(s)} ingress`],
    "bandwidth",
    /is not led to bwp/,
    shaped,
  ],
  [
    "the filter that leads to the ifb is gone",
    "bandwidth",
    (s) => [`tc filter delete dev ${veth(s)} ingress`],
    "bandwidth",
    /is not led to bwp/,
    shaped,
  ],

  [
    "a sysctl is changed",
    "tuning",
    () => ["pod: sysctl -qw net.core.somaxconn=128"],
    "tuning",
    /sysctl net\.core\.somaxconn is "128", not 1024/,
    () => ["pod: test $(cat /proc/sys/net/core/somaxconn) = 1024"],
  ],
  [
    "the tuned MTU is changed",
    "tuning",
    () => ["pod: ip link set eth0 mtu 1300"],
    "link",
    /MTU 1300, not 1400/,
    () => ["pod: test $(cat /proc/sys/net/ipv6/conf/eth0/mtu) = 1400"],
  ],
  [
    "allmulti is off",
    "tuning",
    () => ["pod: ip link set eth0 allmulticast off"],
    "tuning",
    /allmulti of link eth0 is false, not true/,
    () => ["pod: ip -d link show eth0 | grep -q 'allmulti 1'"],
  ],

  [
    "the rule for its address is gone",
    "sbr",
    (s) => [`pod: ip rule delete from ${s.first.ip4}`],
    "source",
    /rule from 10\.31\.0\.\d+ is missing/,
    ledBySource,
  ],
  [
    "the table of its address is flushed",
    "sbr",
    () => ["pod: ip route flush table 100"],
    "route",
    /route 0\.0\.0\.0\/0 via 10\.31\.0\.1 .* is missing/,
    ledBySource,
  ],
  [
    "the default route is gone from the table of its address",
    "sbr",
    () => ["pod: ip route delete default table 100"],
    "route",
    /route 0\.0\.0\.0\/0 via 10\.31\.0\.1 .* is missing/,
    ledBySource,
  ],

  [
    "its address is gone",
    "macvlan",
    () => ["pod: ip address flush dev eth0"],
    "address",
    /address .* is missing on eth0/,
    outside,
  ],
  [
    "it is down",
    "macvlan",
    () => ["pod: ip link set eth0 down"],
    "link",
    /link eth0 in the container is down/,
    outside,
  ],
  [
    "its default route is gone",
    "macvlan",
    () => ["pod: ip route delete default"],
    "route",
    /route 0\.0\.0\.0\/0 .* is missing/,
    outside,
  ],
  [
    "it is in another mode",
    "macvlan",
    () => ["pod: ip link set eth0 type macvlan mode private"],
    "link",
    /mode of link eth0 in the container is private, not bridge/,
    /mode of link eth0 in the container is private, not bridge .*made anew with its pod/,
  ],
  [
    "the link is deleted",
    "macvlan",
    () => ["pod: ip link delete eth0"],
    "link",
    /eth0 does not exist in the container/,
    /link eth0 in the container is gone: .*restart the pod/s,
  ],

  [
    "the device is down",
    "host-device",
    () => ["pod: ip link set eth0 down"],
    "link",
    /link eth0 in the container is down/,
    () => [answers("10.33.0.1")],
  ],
  [
    "the device has another MAC",
    "host-device",
    () => ["pod: ip link set eth0 address 02:00:00:00:00:97"],
    "link",
    /has MAC 02:00:00:00:00:97, not/,
    (s) => [`pod: ip link show eth0 | grep -q ${s.first.result.interfaces![0]!.mac}`],
  ],
  [
    "the device is back on the host",
    "host-device",
    (s) => [`pod: ip link set eth0 down name lan0 netns ${s.node.name}`],
    "link",
    /eth0 does not exist in the container/,
    /link eth0 in the container is gone, device lan0 is back on the host: .*restart the pod/s,
  ],

  [
    "the device is down",
    "tap",
    () => ["pod: ip link set eth0 down"],
    "link",
    /link eth0 in the container is down/,
    (s) => [`pod: ip address show dev eth0 | grep -q ${s.first.ip4}`],
  ],

  [
    "the pod's default route is gone",
    "k3s",
    () => ["pod: ip route delete default"],
    "route",
    /route 0\.0\.0\.0\/0 via .* is missing/,
    () => [answers("192.0.2.2")],
  ],
  ["everything of the firewall is flushed", "nerdctl", () => ["nft flush ruleset"], "masquerade", /missing/, passes],
  [
    "the bridge is down",
    "flannel",
    () => ["ip link set cni0 down"],
    "bridge",
    /bridge cni0 is down/,
    () => [answers("192.0.2.2")],
  ],
];

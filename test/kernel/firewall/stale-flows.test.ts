import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { forgetStaleFlows, type UdpPort } from "../../../src/attachment/ports/stale-flows.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from "../../../src/kernel/netlink.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { sh } from "./node.ts";

const host = NetlinkSocket.open(NETLINK_ROUTE);
const netfilter = NetlinkSocket.open(NETLINK_NETFILTER);
const ip = (text: string): Ip => parseIp(text)!;

/** Flows by a word; each as its first packet was, and where the answers come from. */
const flows = {
  "to the node": ["udp", "198.51.100.7", "192.0.2.1", 5353, "192.0.2.1"],
  "to the node's other address": ["udp", "198.51.100.7", "192.0.2.9", 5353, "192.0.2.9"],
  "from the node to itself": ["udp", "127.0.0.1", "127.0.0.1", 5353, "127.0.0.1"],
  "to a pod that had the port": ["udp", "198.51.100.8", "192.0.2.1", 5353, "10.9.0.9"],
  "to another port": ["udp", "198.51.100.7", "192.0.2.1", 5354, "192.0.2.1"],
  "to the port elsewhere": ["udp", "10.9.0.7", "203.0.113.53", 5353, "203.0.113.53"],
  "by TCP": ["tcp", "198.51.100.7", "192.0.2.1", 5353, "192.0.2.1"],
  "from the pod": ["udp", "10.9.0.5", "203.0.113.1", 123, "203.0.113.1"],
  "to the pod": ["udp", "198.51.100.7", "10.9.0.5", 99, "10.9.0.5"],
  "to a port of the pod's": ["udp", "198.51.100.7", "192.0.2.1", 6000, "10.9.0.5"],
  "IPv6 to the node": ["udp", "2001:db8:1::7", "2001:db8::1", 5353, "2001:db8::1"],
  "IPv6 to the port elsewhere": ["udp", "fd00:9::7", "2001:db8:2::1", 5353, "2001:db8:2::1"],
  "IPv6 from the pod": ["udp", "fd00:9::5", "2001:db8:2::1", 99, "2001:db8:2::1"],
} as const;
type Name = keyof typeof flows;
const names = Object.keys(flows) as Name[];
const sourcePort = (name: Name): number => 40_000 + names.indexOf(name);

beforeEach(() => {
  sh("for a in 192.0.2.1/24 192.0.2.9/32 2001:db8::1/64; do ip addr add $a dev lo; done");
  sh(
    names
      .map((name) => {
        const [protocol, source, destination, port, answering] = flows[name];
        const state = protocol === "tcp" ? "--state ESTABLISHED" : "";
        const from = sourcePort(name);
        const asked = `-s ${source} -d ${destination} --sport ${from} --dport ${port}`;
        const answered = `-r ${answering} -q ${source} --reply-port-src ${port} --reply-port-dst ${from}`;
        return `conntrack -I -t 300 -p ${protocol} ${state} ${asked} ${answered}`;
      })
      .join("\n"),
  );
  expect(forgotten()).toEqual([]);
});

afterEach(() => {
  sh("ip addr flush dev lo scope global; conntrack -F");
});

/** The flows the kernel has no more. */
function forgotten(): Name[] {
  const known = sh("conntrack -L -f ipv4; conntrack -L -f ipv6");
  return names.filter((name) => !known.includes(`sport=${sourcePort(name)} `));
}

const udp = (hostPort: number, address?: string): UdpPort[] => {
  if (address) return [{ hostPort, family: ip(address).family, address: ip(address) }];
  return [
    { hostPort, family: 4 },
    { hostPort, family: 6 },
  ];
};
const pods = [ip("10.9.0.5"), ip("fd00:9::5")];
/** Ports nobody uses: so many that the kernel is asked for a list, as is one that cannot delete by a filter. */
const many = Array.from({ length: 60 }, (_, at) => udp(50_000 + at)).flat();

describe.each([
  ["deleted by a filter", [], 0],
  ["read from a list", many, 0],
  ["of a node with many addresses", [], 300],
])("flows %s: forgets", (_, more, addresses) => {
  beforeEach(() => {
    const lines = Array.from({ length: addresses }, (__, at) => `addr add 10.96.${at >> 8}.${at & 255}/32 dev lo`);
    sh(`ip -batch - <<'END'\n${lines.join("\n")}\nEND`);
  });

  test("those of the port at the node's own addresses, in both families", () => {
    forgetStaleFlows([], [...udp(5353), ...more], { host, netfilter });
    expect(forgotten()).toEqual([
      "to the node",
      "to the node's other address",
      "from the node to itself",
      "to a pod that had the port",
      "IPv6 to the node",
    ]);
  });

  test("those of the port at one address, where the mapping is for that", () => {
    forgetStaleFlows([], [...udp(5353, "192.0.2.9"), ...more], { host, netfilter });
    expect(forgotten()).toEqual(["to the node's other address"]);
  });

  test("those of the pod, whichever end it is", () => {
    forgetStaleFlows(pods, [...udp(1), ...more], { host, netfilter });
    expect(forgotten()).toEqual(["from the pod", "to the pod", "to a port of the pod's", "IPv6 from the pod"]);
  });
});

import { beforeAll, describe, expect, test } from "vitest";
import { brief, makes, type World, create, repair, ways, type Way, closed, check } from "./repair-world.ts";

const every = Object.keys(makes);
const bridges = ["bridge"];
const routed = ["ptp", "link-local"];
const two = ["bridge", "link-local"];

type Break = (world: World) => Promise<unknown>;
/** LINK stands for the host's end of web's link. */
const sh =
  (line: string): Break =>
  async ({ node, link }) =>
    node.must("sh", "-ec", line.replaceAll("LINK", link));
const ip = (line: string): Break => sh(`ip ${line}`);
const nft = (line: string): Break => sh(`nft ${line}`);
const inPod =
  (line: string): Break =>
  async ({ web }) =>
    web.must("sh", "-ec", line);

interface Fault {
  what: string;
  of: string[];
  make: Break;
  /** what it closes; absent where only CHECK sees it */
  way?: Way;
}

const table = "inet podwire";
const faults: Fault[] = [
  { what: "nft flush ruleset", of: every, make: nft("flush ruleset"), way: "outside to port" },
  {
    what: "iptables -t nat -F",
    of: ["bridge by iptables"],
    make: sh("iptables -t nat -F"),
    way: "pod to outside, masqueraded",
  },
  {
    what: "ip6tables -t nat -F",
    of: ["bridge by iptables"],
    make: sh("ip6tables -t nat -F"),
    way: "pod to outside, masqueraded, IPv6",
  },
  { what: "nft delete table", of: bridges, make: nft(`delete table ${table}`), way: "pod to outside, masqueraded" },
  {
    what: "nft flush map masquerade4",
    of: routed,
    make: nft(`flush map ${table} masquerade4`),
    way: "pod to outside, masqueraded",
  },
  {
    what: "nft flush chain of a subnet",
    of: bridges,
    make: nft(`flush chain ${table} masq-pods-10.9.0.0/24`),
    way: "pod to outside, masqueraded",
  },
  {
    what: "nft flush chain postrouting",
    of: bridges,
    make: nft(`flush chain ${table} postrouting`),
    way: "pod to outside, masqueraded",
  },
  { what: "nft flush map hostports4", of: two, make: nft(`flush map ${table} hostports4`), way: "outside to port" },
  {
    what: "nft flush map of targets",
    of: two,
    make: nft(`flush map ${table} hostporttargets4`),
    way: "outside to port",
  },
  { what: "the bridge deleted", of: bridges, make: ip("link delete br0"), way: "node to pod" },
  { what: "the bridge down", of: bridges, make: ip("link set br0 down"), way: "node to pod" },
  { what: "another MAC of the bridge", of: bridges, make: ip("link set br0 address 02:00:00:00:00:99") },
  {
    what: "the gateway address removed",
    of: bridges,
    make: ip("address delete 10.9.0.1/24 dev br0"),
    way: "pod to outside, masqueraded",
  },
  {
    what: "the gateway addresses flushed",
    of: bridges,
    make: ip("address flush dev br0 scope global"),
    way: "pod to outside, masqueraded, IPv6",
  },
  {
    what: "the host's addresses flushed",
    of: ["ptp"],
    make: ip("address flush dev LINK scope global"),
  },
  { what: "the port unplugged", of: bridges, make: ip("link set LINK nomaster"), way: "node to pod" },
  { what: "hairpin switched off", of: bridges, make: sh("bridge link set dev LINK hairpin off") },
  { what: "isolation switched on", of: bridges, make: sh("bridge link set dev LINK isolated on") },
  { what: "IPv4 forwarding off", of: two, make: sh("echo 0 > /proc/sys/net/ipv4/ip_forward"), way: "outside to port" },
  {
    what: "IPv6 forwarding off",
    of: two,
    make: sh("echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"),
    way: "pod to outside, masqueraded, IPv6",
  },
  { what: "the route of the host removed", of: routed, make: ip("route delete 10.9.0.2 dev LINK"), way: "node to pod" },
  {
    what: "the IPv6 route of the host removed",
    of: routed,
    make: ip("-6 route delete fd00:9::2"),
    way: "node to pod, IPv6",
  },
  { what: "proxy_arp off", of: ["link-local"], make: sh("echo 0 > /proc/sys/net/ipv4/conf/LINK/proxy_arp") },
  { what: "route_localnet off", of: ["ptp"], make: sh("echo 0 > /proc/sys/net/ipv4/conf/LINK/route_localnet") },
  { what: "the host's end down", of: every, make: ip("link set LINK down"), way: "node to pod" },
  { what: "another MTU", of: ["ptp"], make: ip("link set LINK mtu 1300") },
  { what: "the link's alias removed", of: bridges, make: sh("ip link set LINK alias ''") },
  { what: "the pod's end down", of: every, make: inPod("ip link set eth0 down"), way: "node to pod" },
  { what: "the pod's address removed", of: two, make: inPod("ip -4 address flush dev eth0"), way: "node to pod" },
  {
    what: "the pod's IPv6 address removed",
    of: two,
    make: inPod("ip -6 address flush dev eth0"),
    way: "node to pod, IPv6",
  },
  {
    what: "the pod's routes removed",
    of: ["ptp", ...two],
    make: inPod("ip route flush dev eth0; ip -6 route flush dev eth0"),
    way: "pod to outside, masqueraded",
  },
  {
    what: "IPv6 switched off in the pod",
    of: two,
    make: inPod("echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"),
    way: "node to pod, IPv6",
  },
  { what: "another MAC of the pod", of: ["ptp", ...two], make: inPod("ip link set eth0 address 02:00:00:00:00:98") },
];

describe.each(every)("podwire repair of %s", (make) => {
  let world: World;
  beforeAll(async () => {
    world = await create(make);
  });

  test("finds nothing to do where all is well", async () => {
    expect(await closed(world)).toEqual([]);
    const before = await world.node.snapshot();
    expect(await repair(world)).toEqual({ exitCode: 0, stdout: "Nothing to do in 2 pods.\n", stderr: "" });
    expect(await world.node.snapshot()).toEqual(before);
  });

  test.each(faults.filter(({ of }) => of.includes(make)))("after $what", async ({ make: fault, way }) => {
    await fault(world);
    if (way !== undefined) expect(await ways[way](world, brief)).toBe(false);
    const broken = await world.node.snapshot();
    const told = await repair(world, "--dry-run");
    expect(told).toMatchObject({ exitCode: 1, stderr: "" });
    expect(told.stdout).toMatch(/: would .*\d+ things? to mend in \d of 2 pods\. Nothing was changed\.\n$/s);
    expect(await world.node.snapshot()).toEqual(broken);
    const mended = await repair(world);
    expect(mended.stdout).toMatch(/ things? mended in \d of 2 pods\.\n$/);
    expect(mended).toMatchObject({ exitCode: 0, stderr: "" });
    expect(mended.stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
    expect(await closed(world)).toEqual([]);
    expect(await check(world)).toBe(0);
    expect((await repair(world)).stdout).toBe("Nothing to do in 2 pods.\n");
  });
});

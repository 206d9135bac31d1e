import { expect, test } from "vitest";
import { alarms } from "../executable/alarms.ts";
import { makes } from "../executable/doctor-makes.ts";
import type { Node } from "../executable/harness.ts";

const kinds = ["bridge, VLAN", "bridge, trunk", "vrf", "ipvlan", "vlan", "dummy"] as const;

test.each(kinds)("doctor raises no false alarm on a node whose pods are made by %s", async (make) => {
  expect(await alarms(await makes[make]())).toEqual([]);
});

test("map tells which VLAN a pod is in", async () => {
  const scene = await makes["bridge, VLAN"]();
  const { stdout } = await scene.runBeside("/usr/sbin:/usr/bin:/sbin:/bin", "map");
  expect(stdout).toMatch(/10\.24\.0\.2 +veth\w+ +default\/web-1 +VLAN 100$/m);
});

/** The limit is the whole kernel's: it is written where the kernel's first processes are, and nowhere else. */
const limit = async (node: Node, max: number): Promise<string> =>
  node.must("nsenter", "--net=/proc/1/ns/net", "sysctl", "-qw", `net.netfilter.nf_conntrack_max=${max}`);

test.each([
  [96, "FAULT", / entries: new connections are being dropped$/],
  [85, "warn", / entries: when it is full, new connections are dropped$/],
])("doctor says that the table of connections is full to %i percent", async (percent, state, what) => {
  const scene = await makes["bridge, VLAN"]();
  const { node, first } = scene;
  await node.setSysctl("net/netfilter/nf_conntrack_icmp_timeout", 600); // not the half minute a busy machine takes
  // connections are tracked once a rule asks for it
  const asking = "-t raw -A OUTPUT -m conntrack --ctstate NEW";
  await node.must("iptables-legacy", ...asking.split(" "));
  // echo requests, each ping a connection of its own
  await node.must("sh", "-ec", `for each in $(seq 60); do ping -c 1 -W 3 ${first.ip4}; done`);
  const read = async (name: string): Promise<number> =>
    Number(await node.must("sysctl", "-n", `net.netfilter.${name}`));
  const [before, count] = [await read("nf_conntrack_max"), await read("nf_conntrack_count")];
  expect(count).toBeGreaterThanOrEqual(60);
  try {
    await limit(node, Math.floor((count * 100) / percent));
    const said = (await scene.examineNode()).node.filter(({ layer }) => layer === "conntrack");
    expect(said).toEqual([expect.objectContaining({ state, what: expect.stringMatching(what) as unknown })]);
    expect(said[0]!.mend).toMatch(/^sysctl -w net\.netfilter\.nf_conntrack_max=\d+$/);
  } finally {
    await limit(node, before);
  }
});

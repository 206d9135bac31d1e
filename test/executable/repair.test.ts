import { beforeAll, describe, expect, test } from "vitest";
import { wireCached } from "../harness/cached.ts";
import type { CniResult } from "../harness/invoke.ts";
import { example } from "./examples.ts";
import {
  type Call,
  executable,
  type Namespace,
  Node,
  type NetworkList,
  type Outcome,
  type Outside,
  runList,
  temporaryFolder,
  type Verb,
} from "./harness.ts";

const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
const capabilities = { portMappings };
const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1";

const list = (dataDir: string, plugin: Record<string, unknown>): NetworkList => ({
  cniVersion: "1.1.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      ipMasq: true,
      ipam: {
        type: "host-local",
        dataDir,
        ranges: [[{ subnet: "10.9.0.0/24" }], [{ subnet: "fd00:9::/64" }]],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
      },
      ...plugin,
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
});

const makes: Record<string, Record<string, unknown>> = {
  bridge: { type: "bridge", bridge: "br0", isDefaultGateway: true, hairpinMode: true },
  "bridge by iptables": {
    type: "bridge",
    bridge: "br0",
    isDefaultGateway: true,
    ipMasqBackend: "iptables",
  },
  ptp: { type: "ptp" },
  "link-local": { type: "ptp", gatewayMode: "link-local" },
};

/** Two pods on a node, of which one has a port of the node, and a machine outside. */
interface World {
  node: Node;
  outside: Outside;
  web: Namespace;
  other: Namespace;
  network: NetworkList;
  result: CniResult;
  /** the host's end of web's link */
  link: string;
  folder: string;
}

async function create(make: string): Promise<World> {
  const node = await Node.create();
  const outside = await node.outside();
  const [web, other] = [await node.pod(), await node.pod()];
  const folder = temporaryFolder("results");
  const network = list(node.dataDir, makes[make]!);
  const result = await wireCached(node, network, { containerId: "web", netns: web, capabilities, args, folder });
  await wireCached(node, network, { containerId: "other", netns: other, folder });
  await web.listen(80, { name: "web" });
  await outside.listen(90, { name: "outside" });
  const link = result.interfaces!.find(({ name }) => name.startsWith("veth"))!.name;
  return { node, outside, web, other, network, result, link, folder };
}

const repair = async ({ node, folder }: Pick<World, "node" | "folder">, ...more: string[]): Promise<Outcome> =>
  node.run(executable, ["repair", "--results-dir", folder, "--data-dir", node.dataDir, ...more], {
    env: { PATH: "/usr/sbin:/usr/bin" },
  });

const arrives = async (work: Promise<{ from: string }>, from?: string): Promise<boolean> =>
  work.then(
    (connection) => from === undefined || connection.from === from,
    () => false,
  );

/** How long is waited: for what is to arrive, on a machine that is busy, and where nothing may. */
const [patient, brief] = [20, 1];

/** The ways packets go. */
const ways = {
  "node to pod": async ({ node }: World, timeoutS: number) => node.ping("10.9.0.2", { timeoutS }),
  "node to pod, IPv6": async ({ node }: World, timeoutS: number) => node.ping("fd00:9::2", { timeoutS }),
  "pod to pod": async ({ other }: World, timeoutS: number) => other.ping("10.9.0.2", { timeoutS }),
  "pod to outside, masqueraded": async ({ web, outside }: World, timeoutS: number) =>
    arrives(web.connect(outside.address4, 90, { timeoutMs: timeoutS * 1000 }), outside.node4),
  "pod to outside, masqueraded, IPv6": async ({ web, outside }: World, timeoutS: number) =>
    arrives(web.connect(outside.address6, 90, { timeoutMs: timeoutS * 1000 }), outside.node6),
  "outside to port": async ({ outside }: World, timeoutS: number) =>
    arrives(outside.connect(outside.node4, 8080, { timeoutMs: timeoutS * 1000 })),
};
type Way = keyof typeof ways;

/** Those that are not open. */
async function closed(world: World): Promise<string[]> {
  const open = await Promise.all(Object.values(ways).map(async (isOpen) => isOpen(world, patient)));
  return Object.keys(ways).filter((_, at) => !open[at]);
}

const check = async ({ node, network, web, result }: World): Promise<number> => {
  const to = { containerId: "web", netns: web, capabilities, result };
  return (await runList(async (verb, call) => node.podwire(verb, call), "CHECK", network, to)).exitCode;
};

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

describe("podwire repair", () => {
  test("mends only the pod that is named, and says the same as JSON", async () => {
    const world = await create("ptp");
    await world.node.must("nft", "flush map inet podwire masquerade4");
    const { stdout, exitCode } = await repair(world, "default/web", "--json");
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      dryRun: false,
      attachments: [
        {
          containerId: "web",
          pod: { namespace: "default", name: "web-1" },
          known: "podwire",
          steps: ["write the masquerading of 10.9.0.2, fd00:9::2"],
          left: [],
        },
      ],
    });
    expect((await repair(world, "other", "--dry-run")).stdout).toMatch(
      /^other: would write the masquerading of 10.9.0.3/,
    );
    expect(await repair(world, "nobody")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("no pod is nobody") as string,
    });
  });

  test("says what it would do, in 80 columns", async () => {
    const world = await create("bridge");
    await world.node.ip("link delete br0");
    await world.node.must("nft", "flush ruleset");
    await world.web.ip("link set eth0 down");
    await world.other.ip("link delete eth0");
    const { said, kept } = example("repair.txt", (await repair(world, "--dry-run")).stdout);
    expect(said).toBe(kept);
  });

  test("tells that a pod without its link must be restarted, and mends the others", async () => {
    const world = await create("bridge");
    await world.web.ip("link delete eth0");
    await world.node.must("nft", "flush ruleset");
    const { stdout, exitCode } = await repair(world);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^other: wrote the masquerading of 10\.9\.0\.3/m);
    expect(stdout.replace(/\s+/g, " ")).toMatch(
      /default\/web-1: differs: link veth\w+ on the host is gone: .*restart the pod/,
    );
  });

  test("touches no namespace but the one ADD wired", async () => {
    const world = await create("ptp");
    const { name } = world.web;
    const kept = `${name}-kept`;
    await world.node.must("sh", "-ec", `touch /run/netns/${kept}; mount --bind /run/netns/${name} /run/netns/${kept}`);
    await world.web.remove();
    await world.node.must("ip", "netns", "add", name);
    const { stdout, exitCode } = await repair(world, "web");
    expect([exitCode, stdout.replace(/\s+/g, " ")]).toEqual([
      1,
      `default/web-1: differs: /run/netns/${name} is another namespace than the one ADD wired: restart the pod ` +
        "1 attachment differs still. ",
    ]);
    await world.node.must("ip", "netns", "delete", kept);
    await world.node.must("ip", "netns", "delete", name);
  });

  test("leaves what others made alone, and names it", async () => {
    const world = await create("ptp");
    const { node, folder } = world;
    const theirs = await node.pod();
    const network = list(node.dataDir, {
      type: "ptp",
      ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.8.0.0/24" },
    });
    const reference = async (verb: Verb, call: Call) => node.reference(verb, call);
    await wireCached(
      node,
      { ...network, name: "theirs" },
      { containerId: "theirs", netns: theirs, folder, run: reference },
    );
    await theirs.ip("route flush dev eth0");
    const { stdout, exitCode } = await repair(world);
    expect([exitCode, stdout]).toEqual([
      0,
      "left alone, as another plugin made it: theirs\nNothing to do in 3 pods.\n",
    ]);
    expect(await theirs.routes()).toEqual([]);
  });

  test("takes no address or route that is somebody else's by now", async () => {
    const world = await create("ptp");
    const { node } = world;
    await node.ip("link add stranger type bridge");
    await node.ip("link set stranger up");
    await node.ip("route delete 10.9.0.2");
    await node.ip("route add 10.9.0.2 dev stranger scope host");
    const { stdout, exitCode } = await repair(world);
    expect(exitCode).toBe(1);
    expect(stdout.replace(/\s+/g, " ")).toContain("it leads to link stranger, which is none of podwire's");
    expect(await node.ip("route show 10.9.0.2")).toContain("dev stranger");
  });

  test("without a cached result sets the link up, and says that no more is known", async () => {
    const world = await create("ptp");
    await world.node.ip(`link set ${world.link} down`);
    const elsewhere = { node: world.node, folder: temporaryFolder("nothing") };
    const { stdout, exitCode } = await repair(elsewhere);
    expect(exitCode).toBe(2);
    expect(stdout).toMatch(new RegExp(`^default/web-1: set link ${world.link} up$`, "m"));
    expect(stdout.replace(/\s+/g, " ")).toMatch(/not known what it should be, as \S+ has no result of it/);
    expect((await world.node.link(world.link))?.flags).toContain("UP");
  });

  test("mends a macvlan's addresses, and a guarded MAC", async () => {
    const node = await Node.create();
    await node.outside();
    const folder = temporaryFolder("results");
    const [one, two] = [await node.pod(), await node.pod()];
    const ipam = { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" };
    const network = (plugin: Record<string, unknown>) => ({
      ...list(node.dataDir, { ...plugin, ipMasq: false, ipam }),
      name: "net",
    });
    const macvlan = network({ type: "macvlan", master: "uplink" });
    await wireCached(
      node,
      { ...macvlan, plugins: macvlan.plugins.slice(0, 1) },
      { containerId: "one", netns: one, folder },
    );
    await wireCached(node, network({ type: "bridge", bridge: "br0", macspoofchk: true }), {
      containerId: "two",
      netns: two,
      folder,
    });
    await one.ip("address flush dev eth0");
    await one.ip("link set eth0 mtu 1400");
    await node.must("nft", "delete table bridge podwire");
    expect((await repair({ node, folder })).stdout).toMatch(/mended in 2 of 2 pods/);
    expect(await one.addresses("eth0")).toEqual(["10.9.0.2/24"]);
    expect((await repair({ node, folder })).stdout).toBe("Nothing to do in 2 pods.\n");
  });
});

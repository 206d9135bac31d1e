import { execa } from "execa";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { remember } from "../harness/cached.ts";
import { makes } from "./doctor-makes.ts";
import { loadConf, temporaryFolder } from "./harness.ts";
import { type Finding, Scene } from "./scene.ts";

// What is beside a pod's wiring and may yet be why it does not work: doctor warns of it, and looks only at a pod asked
// for.

const says = (text: RegExp): unknown => expect.stringMatching(text);
const of = async (scene: Scene, layer: string): Promise<Finding[]> =>
  (await scene.examinePod()).findings.filter((finding) => finding.layer === layer);

describe("resolv.conf as plugins reported it", () => {
  const reporting = async (): Promise<Scene> => {
    const list = loadConf("ptp.json");
    const dns = { nameservers: ["10.1.0.1", "10.1.0.2"] };
    return Scene.make({ ...list, plugins: list.plugins.map((plugin) => ({ ...plugin, dns })) }, { pods: 1 });
  };
  /** A process of the pod's, with a file of its own there. */
  const runContainer = async ({ first }: Scene, text: string): Promise<void> => {
    const file = join(temporaryFolder("resolv"), "resolv.conf");
    writeFileSync(file, text);
    const script = `mount --bind ${file} /etc/resolv.conf && echo there && exec cat`;
    const container = execa("nsenter", [`--net=${first.pod.path}`, "unshare", "--mount", "sh", "-c", script], {
      stdin: "pipe",
      reject: false,
    });
    onTestFinished(async () => {
      container.stdin.end();
      await container;
    });
    await new Promise((resolve) => void container.stdout.once("data", resolve));
  };

  test("is compared with what a process of the pod reads", async () => {
    const scene = await reporting();
    expect(await of(scene, "resolver")).toMatchObject([{ state: "skip", what: says(/no process of the pod's/) }]);
    await runContainer(scene, "search example.org\nnameserver 10.1.0.1\nnameserver 10.1.0.2\n");
    expect(await of(scene, "resolver")).toMatchObject([{ state: "ok", what: says(/^10\.1\.0\.1, 10\.1\.0\.2, as/) }]);
  });

  test("that is another one is a warning, but kubelet's is not", async () => {
    const scene = await reporting();
    await runContainer(scene, "nameserver 10.96.0.10\n");
    expect(await of(scene, "resolver")).toMatchObject([{ state: "skip", what: says(/^10\.96\.0\.10: .*kubelet/) }]);
    const { containerId, pod, result } = scene.first;
    remember(scene.results, scene.list, { containerId, netns: pod.path, result });
    const { findings } = await scene.examinePod(containerId);
    expect(findings.filter(({ layer }) => layer === "resolver")).toMatchObject([
      { state: "warn", expected: "10.1.0.1, 10.1.0.2", is: "10.96.0.10", mend: says(/./) },
    ]);
  });

  test("is nobody's matter where plugins report none", async () => {
    expect(await of(await Scene.make(loadConf("ptp.json"), { pods: 1 }), "resolver")).toEqual([]);
  });
});

describe("flows that are led to who is gone", () => {
  const portMappings = [{ hostPort: 5353, containerPort: 53, protocol: "udp" }];
  const remembered = async ({ node }: Scene, source: string, destination: string, answering: string): Promise<void> => {
    const ends = ["-s", source, "-d", destination, "--sport", "40001", "--dport", "5353"];
    const back = ["-r", answering, "-q", source, "--reply-port-src", "53", "--reply-port-dst", "40001"];
    await node.must("conntrack", "-I", "-t", "300", "-p", "udp", ...ends, ...back);
  };
  const mend = async (scene: Scene, [finding]: Finding[]): Promise<void> => {
    await scene.node.must("sh", "-c", finding!.mend!);
  };

  test.each([
    ["kindnet.conflist", 4],
    ["kindnet-ipv6.conflist", 6],
  ] as const)("%s: to its host port, until what is named mends it", async (file, family) => {
    const scene = await Scene.make(loadConf(file), { pods: 2, capabilities: { portMappings } });
    const [node, client] = family === 4 ? ["192.0.2.1", "192.0.2.2"] : ["2001:db8::1", "2001:db8::2"];
    const own = family === 4 ? scene.first.ip4 : scene.first.ip6;
    const gone = own.replace(/[^.:]+$/, "99");
    await remembered(scene, client, node, own);
    expect(await of(scene, "flows")).toEqual([]);
    await scene.node.must("conntrack", "-F");
    await remembered(scene, client, node, gone);
    const found = await of(scene, "flows");
    expect(found).toMatchObject([{ state: "warn", what: says(/^a flow to 5353\/udp of .* still led to/), is: gone }]);
    expect((await scene.examinePod("web-2")).findings.filter(({ layer }) => layer === "flows")).toEqual([]);
    await mend(scene, found);
    expect(await of(scene, "flows")).toEqual([]);
  });

  test("from it to a Service, until what is named mends it", async () => {
    const scene = await Scene.make(loadConf("kindnet.conflist"));
    const { ip4 } = scene.first;
    await remembered(scene, ip4, "10.96.0.10", scene.pods[1]!.ip4);
    expect(await of(scene, "flows")).toEqual([]);
    await scene.node.must("conntrack", "-F");
    await remembered(scene, ip4, "10.96.0.10", ip4.replace(/\d+$/, "99"));
    const found = await of(scene, "flows");
    expect(found).toMatchObject([{ state: "warn", what: says(/^a flow of the pod to 10\.96\.0\.10, port 5353/) }]);
    await mend(scene, found);
    expect(await of(scene, "flows")).toEqual([]);
  });
});

describe("rp_filter", () => {
  test("that is strict drops what comes by another link than the route back", async () => {
    const scene = await Scene.make(loadConf("ptp.json"), { pods: 1 });
    const { node, first } = scene;
    await node.setSysctl("net/ipv4/conf/all/rp_filter", 0); // a new namespace has what the machine has
    await node.setSysctl(`net/ipv4/conf/${first.hostVeth}/rp_filter`, 1);
    expect(await of(scene, "forwarding")).toMatchObject([{ state: "ok", what: says(/rp_filter strict on veth/) }]);
    expect(await first.pod.ping("192.0.2.1")).toBe(true);
    await node.ip(`route replace ${first.ip4} via 192.0.2.2`);
    expect(await first.pod.ping("192.0.2.2", { timeoutS: 1 })).toBe(false);
    expect(await of(scene, "forwarding")).toMatchObject([
      { state: "FAULT", what: says(/^the node drops what .* sends: rp_filter of veth.* strict/), is: "dev uplink" },
    ]);
    await node.setSysctl("net/ipv4/conf/all/rp_filter", 2);
    expect(await of(scene, "forwarding")).toMatchObject([{ state: "ok", what: says(/rp_filter loose on veth/) }]);
  });
});

describe("tables of older iptables, which netlink does not tell of", () => {
  const drops = /^chain FORWARD of iptables-legacy drops what the pod sends out/;
  const firewall = async (scene: Scene): Promise<{ pod: Finding[]; node: Finding[] }> => ({
    pod: await of(scene, "firewall"),
    node: (await scene.examineNode()).node.filter(({ layer }) => layer === "firewall"),
  });

  test("are a fault where they drop what no rule accepts, else not followed, and never fine", async () => {
    const scene = await Scene.make(loadConf("kindnet.conflist"), { pods: 2 });
    const { node, first } = scene;
    await node.must("iptables-legacy", "-P", "FORWARD", "DROP");
    expect(await first.pod.ping("192.0.2.2", { timeoutS: 1 })).toBe(false);
    const found = await firewall(scene);
    const fault = [{ state: "FAULT", what: says(drops), mend: says(/^iptables-legacy -I FORWARD -s/) }];
    expect(found).toMatchObject({ pod: fault, node: fault });
    await node.must("sh", "-c", found.pod[0]!.mend!);
    const rules = [{ state: "warn", what: says(/accepts; its 2 rules were not followed$/) }];
    expect(await firewall(scene)).toMatchObject({ pod: rules, node: rules });
    await node.must("iptables-legacy", "-P", "FORWARD", "ACCEPT");
    const skipped = [{ state: "skip", what: says(/^iptables-legacy has 2 rules, which were not followed$/) }];
    expect(await firewall(scene)).toMatchObject({ pod: skipped, node: skipped });
    await node.must("iptables-legacy", "-F");
    expect(await firewall(scene)).toMatchObject({ pod: [{ state: "ok" }], node: [{ state: "ok" }] });
  });

  test("of IPv6 too, and what cannot be read is said", async () => {
    const scene = await Scene.make(loadConf("kindnet-ipv6.conflist"), { pods: 1 });
    await scene.node.must("ip6tables-legacy", "-P", "FORWARD", "DROP");
    expect(await of(scene, "firewall")).toMatchObject([{ state: "FAULT", what: says(/of ip6tables-legacy drops/) }]);
    const { stdout } = await scene.runBeside("/nowhere", "doctor", "web-1");
    expect(stdout.replaceAll(/\s+/g, " ")).toContain("ip6tables-legacy has tables (filter) that were not looked at");
  });
});

describe("since when something is so", () => {
  const leaseOf = ({ node, list, first }: Scene): string => join(node.dataDir, list.name, first.ip4);
  const faultsIn = async (scene: Scene, layer: string): Promise<Finding[]> =>
    (await of(scene, layer)).filter(({ state }) => state === "FAULT");

  test("is the time of a lease: the pod's own, and somebody else's", async () => {
    const scene = await Scene.make(loadConf("ptp.json"), { pods: 1 });
    utimesSync(leaseOf(scene), 0, Date.UTC(2026, 10, 20, 3) / 1000);
    expect((await of(scene, "namespace"))[0]?.what).toMatch(/, the one ADD wired at 2026-11-20T03:00Z$/);
    writeFileSync(leaseOf(scene), "thief\r\neth0");
    utimesSync(leaseOf(scene), 0, Date.UTC(2026, 10, 21, 4) / 1000);
    expect(await faultsIn(scene, "lease")).toMatchObject([{ since: "2026-11-21T04:00Z" }]);
  });

  test("is when an address was put on the node, by the kernel's clock", async () => {
    const scene = await Scene.make(loadConf("ptp.json"), { pods: 1 });
    const before = Date.now();
    await scene.node.ip(`address add ${scene.first.ip4}/32 dev uplink`);
    const [found] = await faultsIn(scene, "address");
    const since = Date.parse(found!.since!);
    // minutes are told, and the boot's time in whole seconds
    expect([since >= before - 62_000, since <= Date.now() + 2_000]).toEqual([true, true]);
  });

  test("is how often a link came and went, and when a file was written", async () => {
    const scene = await Scene.make(loadConf("ptp.json"), { pods: 1 });
    for (const state of ["down", "up", "down"]) await scene.first.pod.ip(`link set eth0 ${state}`);
    expect((await faultsIn(scene, "link"))[0]?.since).toMatch(/^it came up or went down \d+ times since it was made$/);
    const file = join(scene.confDir, `10-${scene.list.name}.conflist`);
    writeFileSync(file, JSON.stringify({ ...scene.list, cniVersion: "9.9.9" }));
    utimesSync(file, 0, Date.UTC(2026, 10, 22, 5) / 1000);
    const { node } = await scene.examineNode();
    expect(node.find(({ what }) => what.includes("9.9.9"))?.since).toBe("written 2026-11-22T05:00Z");
  });
});

test("a range that flanneld gives this node counts as any other: how full it is, and whose addresses are in it", async () => {
  const scene = await makes.k3s();
  const { stdout } = await scene.runBeside("/usr/sbin:/usr/bin:/sbin:/bin", "leases");
  expect(stdout).toMatch(/^cbr0 10\.42\.3\.1-10\.42\.3\.254: 2 of 253 leased \(0 %\)$/m);
  const { node } = await scene.examineNode();
  expect(node.find(({ layer }) => layer === "addresses")).toMatchObject({ state: "ok" });
});

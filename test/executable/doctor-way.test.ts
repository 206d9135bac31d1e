import { expect, test } from "vitest";
import { loadConf } from "./harness.ts";
import { type Finding, Scene } from "./scene.ts";

const way = async (scene: Scene, to: string): Promise<Finding> => {
  const { stdout } = await scene.run("web-1", "--to", to, "--json");
  const { pods } = JSON.parse(stdout) as { pods: { findings: Finding[] }[] };
  return pods[0]!.findings.find(({ layer }) => layer === "way")!;
};
const says = (text: RegExp): unknown => expect.stringMatching(text);

test("doctor --to follows the way to a pod, to the node and to an address outside", async () => {
  const scene = await Scene.make(loadConf("ptp.json"));
  const { node, first } = scene;
  const second = scene.pods[1]!;
  expect(await way(scene, second.ip4)).toMatchObject({
    state: "ok",
    what: says(
      new RegExp(`${first.ip4} -> eth0 -> ${first.hostVeth} -> ${second.hostVeth} -> ${second.ip4}, default/web-2`),
    ),
  });
  expect(await way(scene, "192.0.2.1")).toMatchObject({ state: "ok", what: says(/192\.0\.2\.1, the node's own$/) });
  expect(await way(scene, "198.51.100.7")).toMatchObject({ state: "ok", what: says(/-> uplink -> 198\.51\.100\.7/) });
  expect(await way(scene, "2001:db8::7")).toMatchObject({ state: "FAULT", what: says(/no IPv6 address/) });

  await node.must("iptables", "-A", "FORWARD", "-d", "198.51.100.0/24", "-j", "REJECT");
  await node.must("iptables", "-A", "INPUT", "-i", first.hostVeth, "-j", "DROP");
  expect(await way(scene, "198.51.100.7")).toMatchObject({
    state: "FAULT",
    what: says(/chain FORWARD of table ip filter drops what goes to 198\.51\.100\.7/),
  });
  expect(await way(scene, "198.51.99.7")).toMatchObject({ state: "ok" });
  expect(await way(scene, "192.0.2.1")).toMatchObject({
    state: "FAULT",
    what: says(/chain INPUT of table ip filter drops/),
  });
  await node.ip("route add unreachable 198.51.98.0/24");
  expect(await way(scene, "198.51.98.7")).toMatchObject({ state: "FAULT", what: says(/the node has no route to/) });
  await first.pod.ip("route delete default");
  expect(await way(scene, "198.51.99.7")).toMatchObject({ state: "FAULT", what: says(/the pod has no route to/) });
});

const probed = async (scene: Scene, to: string): Promise<Finding | undefined> => {
  const { stdout } = await scene.run("web-1", "--to", to, "--json");
  const { pods } = JSON.parse(stdout) as { pods: { findings: Finding[] }[] };
  return pods[0]!.findings.find(({ layer }) => layer === "probe");
};

test.each([
  ["ptp-dual-stack.json", ["192.0.2.1"]],
  ["bridge-dual-stack.json", ["192.0.2.2", "2001:db8::2"]], // it masquerades, so answers find back
])("doctor --to sends some packets, and says where they were last seen: %s", async (file, more) => {
  const scene = await Scene.make(loadConf(file));
  const { node, first } = scene;
  const second = scene.pods[1]!;
  const answered = (to: string): object => ({ state: "ok", what: `5 of 5 echo requests to ${to} answered` });
  for (const to of [second.ip4, second.ip6, ...more]) expect(await probed(scene, to)).toMatchObject(answered(to));

  await second.pod.setSysctl("net/ipv4/icmp_echo_ignore_all", 1);
  const last = file.startsWith("ptp") ? second.hostVeth : first.hostVeth;
  expect(await probed(scene, second.ip4)).toMatchObject({
    state: "warn",
    what: says(new RegExp(`^5 echo requests to .*: no answer; last seen on ${last}, by its counter`)),
  });

  // what no rule that doctor follows decides
  await node.must("nft", "add table netdev hidden");
  const hook = "{ type filter hook ingress device uplink priority 0 ; }";
  await node.must("nft", `add chain netdev hidden in ${hook}`);
  await node.must("nft", "add rule netdev hidden in ip protocol icmp drop");
  expect(await probed(scene, "192.0.2.2")).toMatchObject({ state: "warn", what: says(/last seen on uplink/) });
  expect(await probed(scene, "192.0.2.99")).toMatchObject({
    state: "FAULT",
    what: says(new RegExp(`last seen on ${first.hostVeth}: they did not leave by uplink`)),
  });

  await first.pod.must("nft", "add table ip own");
  await first.pod.must("nft", "add chain ip own out { type filter hook output priority 0 ; }");
  await first.pod.must("nft", "add rule ip own out ip protocol icmp drop");
  expect(await probed(scene, "192.0.2.2")).toMatchObject({ state: "FAULT", what: says(/EPERM/) });
  await node.must("iptables", "-P", "FORWARD", "DROP");
  expect(await probed(scene, "192.0.2.2")).toBeUndefined();
});

test.each([
  [["--to", "10.0.0.1"], "--to needs a POD"],
  [["web-1", "--to", "x"], "must be an IP address"],
  [["nobody"], "no pod is nobody"],
])("%j is refused", async (args, message) => {
  const scene = await Scene.make(loadConf("ptp.json"), { pods: 1 });
  expect(await scene.run(...args)).toMatchObject({ exitCode: 2, stdout: "", stderr: says(new RegExp(message)) });
});

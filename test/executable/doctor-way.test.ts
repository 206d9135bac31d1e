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

test.each([
  [["--to", "10.0.0.1"], "--to needs a POD"],
  [["web-1", "--to", "x"], "must be an IP address"],
  [["nobody"], "no pod is nobody"],
])("%j is refused", async (args, message) => {
  const scene = await Scene.make(loadConf("ptp.json"), { pods: 1 });
  expect(await scene.run(...args)).toMatchObject({ exitCode: 2, stdout: "", stderr: says(new RegExp(message)) });
});

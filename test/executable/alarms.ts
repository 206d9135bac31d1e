import { expect } from "vitest";
import { type Scene, wrongs } from "./scene.ts";

/** Whatever doctor says is wrong, of the node and of its first pod; it must have looked at all of them. */
export async function alarms(scene: Scene): Promise<string[]> {
  const { exitCode, node, pods } = await scene.examineNode();
  expect([exitCode, pods.length]).toEqual([0, scene.pods.length]);
  expect(node.find(({ layer }) => layer === "pods")).toMatchObject({ state: "ok" });
  const pod = await scene.examinePod(scene.first.ip4 || scene.first.ip6 || scene.first.containerId);
  expect(pod.exitCode).toBe(0);
  expect(pod.findings.map(({ layer }) => layer)).toEqual(expect.arrayContaining(["namespace", "link"]));
  expect(pod.findings.filter(({ what }) => what.includes("not looked at"))).toEqual([]);
  // what raises no alarm is not to be mended either
  const repaired = await scene.runBeside("/usr/sbin:/usr/bin:/sbin:/bin", "repair", "--dry-run");
  expect(repaired.stdout).not.toMatch(/would|differs/);
  return wrongs([...node, ...pods.flatMap(({ findings }) => findings), ...pod.findings]);
}

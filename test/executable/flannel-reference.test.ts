import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { attach, flannel, programs } from "./configs.ts";
import { Node, podwireFolder, reference } from "./harness.ts";

// podwire beside flannel's own plugin, where that could be built (test/runner/reference); else it is left out.

let node: Node;
beforeEach(async () => {
  node = await Node.create();
});

const kept = (): string[] => readdirSync(join(node.dataDir, "flannel")).sort();
const leases = (): string[] => Object.keys(node.leases());
const veths = async (): Promise<string[]> =>
  (await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "veth").map(({ ifname }) => ifname);
const at = { path: reference.folder };

test("what the delegate is told is byte for byte what the reference tells it", async () => {
  const folder = programs({
    note: `cat > "$0.$CNI_COMMAND"
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.0.0","interfaces":[{"name":"x0"}],"ips":[],"dns":{}}'`,
  });
  const config = flannel(node, {
    ipam: { routes: [{ dst: "1.2.3.4/8" }], a: 1.5 },
    delegate: { type: "note", z: 1, b: [2] },
  });
  const texts: string[] = [];
  for (const by of ["podwire", "reference"] as const) {
    const answer = await node[by]("ADD", {
      plugin: "flannel",
      config,
      containerId: "pod-1",
      netns: await node.pod(),
      path: `${folder}:${reference.folder}`,
    });
    expect(answer.exitCode).toBe(0);
    texts.push(
      readFileSync(join(folder, "note.ADD"), "utf8"),
      readFileSync(join(node.dataDir, "flannel/pod-1"), "utf8"),
    );
  }
  expect(new Set(texts).size).toBe(1);
});

test("the reference's pod is content, and goes", async () => {
  const config = flannel(node);
  const made = { plugin: "flannel", config, containerId: "pod-1", netns: await node.pod() };
  const { result } = await node.reference("ADD", { ...made, ...at });
  expect(kept()).toEqual(["pod-1"]);
  const given = { ...made, config: { ...config, prevResult: result }, path: podwireFolder() };
  await node.succeed("CHECK", given);
  await node.succeed("DEL", { plugin: "flannel", config: { ...config, name: "another" }, containerId: "pod-1" });
  expect(kept()).toEqual(["pod-1"]);
  await node.succeed("DEL", given);
  expect([kept(), leases(), await veths()]).toEqual([[], [], []]);
});

test("podwire's pod goes by the reference, but for what podwire keeps beside, which GC takes", async () => {
  const pod = await attach(node, flannel(node));
  const answer = await node.reference("DEL", { ...pod.call, ...at });
  expect([answer.exitCode, leases(), await veths()]).toEqual([0, [], []]);
  expect(kept()).toEqual([`${pod.call.containerId}:eth0:net`]);
  await node.succeed("GC", { plugin: "flannel", config: { ...flannel(node), "cni.dev/valid-attachments": [] } });
  expect(kept()).toEqual([]);
});

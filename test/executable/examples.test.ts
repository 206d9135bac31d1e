import { describe, expect, test } from "vitest";
import { example } from "./examples.ts";
import { loadConf } from "./harness.ts";
import { Scene } from "./scene.ts";

// What a person sees of commands on a terminal of 80 columns, kept to be looked at; map's and repair's are made by
// their tests.

const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** What is of this run alone: names of namespaces, times, the machine's settings. */
function settled(text: string): string {
  return text
    .replaceAll(/\/run\/netns\/pod-\d+-\d+/g, "/run/netns/cni-5f3c81d2")
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d/g, "2026-11-20 03:00")
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\dZ/g, "2026-11-20T03:00Z")
    .replaceAll(/since \d{4}-\d\d-\d\d/g, "since 2026-11-20")
    .replaceAll(/Took \d+\.\d s/g, "Took 0.1 s")
    .replace(/^\S+(: \d+ pods? of .*), Linux \d+\.\d+/, "node$1, Linux 6.12")
    .replaceAll(/rp_filter \w+/g, "rp_filter loose")
    .replaceAll(/[\d,]+ of [\d,]+ entries/g, "18 of 262,144 entries");
}

async function shown(file: string, scene: Scene, command: string, ...args: string[]): Promise<Example> {
  const { stdout, stderr } = await scene.runBeside(PATH, command, ...args);
  const { said, kept } = example(file, settled(stdout));
  return { said, kept, stderr, wide: stdout.split("\n").filter((line) => line.length > 80) };
}

interface Example {
  said: string;
  kept: string;
  stderr: string;
  wide: string[];
}

const asKept = ({ kept }: Example): Example => ({ said: kept, kept, stderr: "", wide: [] });

describe("on 80 columns", () => {
  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];

  test("doctor, leases and gc show a node where something is wrong", async () => {
    const scene = await Scene.make(loadConf("kindnet.conflist"), { pods: 4, capabilities: { portMappings } });
    const { node, first } = scene;
    await node.must("iptables", "-P", "FORWARD", "DROP");
    await node.ip(`route delete ${first.ip4}`);
    await scene.pods[1]!.pod.ip("link set eth0 down");
    await scene.pods[3]!.pod.vanish();
    const all = [
      await shown("doctor-pod.txt", scene, "doctor", "web-1"),
      await shown("doctor.txt", scene, "doctor"),
      await shown("leases.txt", scene, "leases"),
      await shown("gc.txt", scene, "gc", "--dry-run"),
    ];
    expect(all).toEqual(all.map(asKept));
  });

  test("doctor --to shows the way to another pod", async () => {
    const scene = await Scene.make(loadConf("kindnet.conflist"));
    const way = await shown("doctor-to.txt", scene, "doctor", "web-1", "--to", scene.pods[1]!.ip4);
    expect(way).toEqual(asKept(way));
  });
});

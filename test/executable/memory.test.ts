import { join } from "node:path";
import { expect, test } from "vitest";
import { environment, type Call, type CniResult, type Verb } from "../harness/invoke.ts";
import { Node } from "../harness/node.ts";
import { podwireFolder } from "../harness/podwire-folder.ts";

/**
 * What a call may take: bytes of memory at most, and page faults (some 120, when this was written). More than that,
 * where nothing new is done, means that what calls use does not lie together any more in the heap:
 * test/fuzz/recorded.txt has to be made anew.
 */
const MOST = { bytes: 4e6, faults: 140 };
/**
 * How many pods come and go. The least counts: the first makes what pods share, and of one and the same call some faults
 * more are counted where the machine is busy.
 */
const PODS = 5;

interface Taken {
  bytes: number;
  faults: number;
}

/** Executes podwire under GNU time; what it printed, and what it took. */
async function measure(node: Node, verb: Verb, call: Call): Promise<Taken & { stdout: string }> {
  const folder = podwireFolder();
  const run = { env: environment(folder, verb, call), input: JSON.stringify(call.config) };
  const command = ["-f", "%M %R", join(folder, call.plugin)];
  const { exitCode, stdout, stderr } = await node.run("/usr/bin/time", command, run);
  expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/^\d+ \d+\n$/)]);
  const [kilobytes, faults] = stderr.split(" ").map(Number);
  return { stdout, bytes: kilobytes! * 1024, faults: faults! };
}

test("ADD, CHECK and DEL of a pod on a bridge take little memory and few page faults", async () => {
  const node = await Node.create();
  try {
    const ipam = { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" };
    const config = { cniVersion: "1.1.0", name: "net", type: "bridge", bridge: "br0", isDefaultGateway: true, ipam };
    const figures: Record<"ADD" | "CHECK" | "DEL", Taken[]> = { ADD: [], CHECK: [], DEL: [] };
    for (let at = 0; at < PODS; at++) {
      const about = { plugin: "bridge", containerId: `c${at}`, netns: await node.pod() };
      const call = { ...about, config: { ...config, ipMasq: true } };
      const added = await measure(node, "ADD", call);
      figures.ADD.push(added);
      const later = { ...call, config: { ...call.config, prevResult: JSON.parse(added.stdout) as CniResult } };
      for (const verb of ["CHECK", "DEL"] as const) figures[verb].push(await measure(node, verb, later));
    }
    const taken = Object.entries(figures).map(([verb, all]) => ({
      verb,
      bytes: Math.min(...all.map(({ bytes }) => bytes)),
      faults: Math.min(...all.map(({ faults }) => faults)),
    }));
    console.log(taken);
    expect(taken.filter(({ bytes, faults }) => bytes > MOST.bytes || faults > MOST.faults)).toEqual([]);
  } finally {
    await node.remove();
  }
});

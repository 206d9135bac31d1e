import { join } from "node:path";
import { expect, test } from "vitest";
import { environment, type Call, type CniResult, type Verb } from "../harness/invoke.ts";
import { Node } from "../harness/node.ts";
import { podwireFolder } from "../harness/podwire-folder.ts";

/**
 * What a call may take: bytes of memory at most, and page faults. More than that, where nothing new is done, means that
 * what calls use does not lie together any more in the heap: test/fuzz/recorded.txt has to be made anew.
 */
const MOST = { bytes: 4e6, faults: 140 };

/** Executes podwire under GNU time; what it printed, and what it took. */
async function measure(node: Node, verb: Verb, call: Call): Promise<{ stdout: string; bytes: number; faults: number }> {
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
    const call = { plugin: "bridge", config: { ...config, ipMasq: true }, containerId: "c", netns: await node.pod() };
    const added = await measure(node, "ADD", call);
    const later = { ...call, config: { ...call.config, prevResult: JSON.parse(added.stdout) as CniResult } };
    const figures = { ADD: added, CHECK: await measure(node, "CHECK", later), DEL: await measure(node, "DEL", later) };
    const taken = Object.entries(figures).map(([verb, { bytes, faults }]) => ({ verb, bytes, faults }));
    console.log(taken);
    expect(taken.filter(({ bytes, faults }) => bytes > MOST.bytes || faults > MOST.faults)).toEqual([]);
  } finally {
    await node.remove();
  }
});

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Process, socketOf } from "../executable/dhcp.ts";
import type { CniResult, Namespace } from "../executable/harness.ts";
import { dhcp, goesOn, isMet, pointsOf, restart, servedOn, startTraced } from "./dhcp.ts";
import { nodeWorkers } from "./node-workers.ts";
import { add, setUp, type Stage, succeed } from "./scenarios.ts";
import { changes, type SystemCall, systemCalls } from "./strace.ts";

// The daemon is disturbed as it keeps a lease up. None waits for the hour: the lease is made older, and a daemon that
// is started finds that it is time.

const HOURS = 43_200;
/** RFC 2131, 4.4.5 */
const AT = { T1: HOURS * 0.6, T2: HOURS * 0.9, end: HOURS + 1 };
type When = keyof typeof AT;

interface Kept {
  lease: { containerId: string; since: number; seconds: number };
}

/** The lease of the pod that is disturbed, as the daemon keeps it. */
function keptOf({ node }: Stage): { path: string; kept: Kept } {
  const folder = `${socketOf(node)}.leases`;
  const paths = readdirSync(folder).flatMap((name) => (name.startsWith(".") ? [] : [`${folder}/${name}`]));
  const all = paths.map((path) => ({ path, kept: JSON.parse(readFileSync(path, "utf8")) as Kept }));
  return all.find(({ kept }) => kept.lease.containerId === "disturbed")!;
}

function age(stage: Stage, when: When): void {
  const { path, kept } = keptOf(stage);
  kept.lease.since -= AT[when] * 1000;
  writeFileSync(path, JSON.stringify(kept));
}

/** What is done when a lease's time has come. */
const done = { T1: /renewed/, T2: /renewed/, end: /is lost: it is over/ };

const isDue = (stage: Stage, when: When, since: number): boolean => {
  const { lease } = keptOf(stage).kept;
  return when === "end" ? !("lost" in lease && lease.lost) : lease.since < since;
};

/** Resolves when it is done and kept, or the daemon has ended before. */
async function isDone(daemon: Process, stage: Stage, when: When, since: number): Promise<void> {
  await daemon.line(done[when]).catch(() => undefined); // it has ended
  await expect.poll(() => daemon.hasEnded || !isDue(stage, when, since), { interval: 5 }).toBe(true);
}

async function recordUpkeep(when: When): Promise<SystemCall[]> {
  const stage = await setUp(dhcp);
  await add(stage);
  const { since } = keptOf(stage).kept.lease;
  const { daemon, lines } = await startTraced(stage, undefined, () => age(stage, when));
  await isDone(daemon, stage, when, since);
  await daemon.stop();
  await stage.node.remove();
  const calls = systemCalls(lines(), /^mkdir/);
  return calls.slice(calls.findIndex(({ name }) => name === "ppoll"));
}

/** The pod has the address, and CHECK is content; or neither, where the lease is over. */
async function isAsItMustBe({ node, call }: Stage, when: When, result: CniResult): Promise<void> {
  const checked = await node.podwire("CHECK", { ...call, config: { ...call.config, prevResult: result } });
  const addresses = await (call.netns as Namespace).addresses("eth0");
  if (when === "end") {
    expect([addresses, checked.error?.msg]).toEqual([[], expect.stringMatching(done.end)]);
  } else {
    succeed("CHECK", checked);
    expect(addresses).toEqual(result.ips!.map(({ address }) => address));
  }
}

describe.each<When>(["T1", "T2", "end"])("the daemon, when a lease has come to its %s,", (when) => {
  test("is killed at any system call that changes something: the next one does what was to be done", async () => {
    const points = (await recordUpkeep(when)).filter(changes);
    let hits = 0;
    const failures = await nodeWorkers(dhcp, points, async (stage, before, point) => {
      const { result } = await add(stage);
      const { since } = keptOf(stage).kept.lease;
      const { daemon, lines } = await startTraced(stage, { kill: point }, () => age(stage, when));
      await isDone(daemon, stage, when, since);
      await daemon.stop();
      if (lines().some((line) => line.endsWith(" = ?"))) hits += 1;
      await restart(stage);
      if (isDue(stage, when, since)) await servedOn(stage.node).daemon.line(done[when]);
      await isAsItMustBe(stage, when, result!);
      await goesOn(stage, before);
    });
    expect(failures.map(([{ text }, message]) => `${text}\n${message}`).join("\n\n")).toBe("");
    expect(hits).toBeGreaterThan(points.length * 0.9);
  });

  test("meets an error of any system call: it tries again, and does what was to be done", async () => {
    const points = pointsOf((await recordUpkeep(when)).filter(({ text }) => !text.startsWith("write(2,")));
    const failures = await nodeWorkers(dhcp, points, async (stage, before, point) => {
      const { result } = await add(stage);
      const { since } = keptOf(stage).kept.lease;
      const { daemon, lines } = await startTraced(stage, point, () => age(stage, when));
      servedOn(stage.node).daemon = daemon;
      await daemon.line(done[when]).catch(async (error: Error) => {
        // where there is no way back to the host's namespace it must not go on
        if (!error.message.includes("cannot return to the host")) throw error;
        await restart(stage);
        await servedOn(stage.node).daemon.line(done[when]);
      });
      const isOver = () => isMet(lines()) || daemon.hasEnded || !isDue(stage, when, since);
      await expect.poll(isOver, { interval: 5 }).toBe(true);
      if (!isMet(lines())) await restart(stage);
      await isAsItMustBe(stage, when, result!);
      await goesOn(stage, before);
    });
    expect(failures.map(([{ fail, errno }, message]) => `${errno} of ${fail.text}\n${message}`).join("\n\n")).toBe("");
  });
});

import { describe, expect, test } from "vitest";
import { dhcp, goesOn, isMet, pointsOf, restart, servedOn, startTraced } from "./dhcp.ts";
import { nodeWorkers } from "./node-workers.ts";
import { add, del, setUp, type Stage, stateOf } from "./scenarios.ts";
import { changes, type Fault, type SystemCall, systemCalls } from "./strace.ts";

// The daemon is disturbed, from its start to the end of a verb that asks it; the plugin is not.

type Verb = "ADD" | "DEL";

/** The calls of a daemon that is started, and asked by the verb. */
async function recordDaemon(verb: Verb): Promise<SystemCall[]> {
  const stage = await setUp(dhcp);
  if (verb === "DEL") await add(stage);
  const { daemon, lines } = await startTraced(stage);
  await (verb === "ADD" ? add(stage) : del(stage));
  await daemon.stop();
  await stage.node.remove();
  return systemCalls(lines(), /^mkdir/);
}

/** Runs the verb, which must answer, while the fault happens to the daemon; that daemon. */
async function disturb(stage: Stage, verb: Verb, fault: Fault): ReturnType<typeof startTraced> {
  if (verb === "DEL") await add(stage);
  const traced = await startTraced(stage, fault);
  const { exitCode, error } = await stage.node.podwire(verb, stage.call);
  if (exitCode !== 0) expect(error).toMatchObject({ msg: expect.stringMatching(/.{10}/) as unknown });
  return traced;
}

describe.each<Verb>(["ADD", "DEL"])("the daemon, from its start to the end of %s,", (verb) => {
  test("is killed at any system call that changes something: DEL, before or after its restart, leaves nothing", async () => {
    const points = (await recordDaemon(verb)).filter(changes);
    let hits = 0;
    const failures = await nodeWorkers(dhcp, points, async (stage, before, point, at) => {
      const { daemon, lines } = await disturb(stage, verb, { kill: point });
      await daemon.stop();
      if (lines().some((line) => line.endsWith(" = ?"))) hits += 1; // the call it was killed in has no answer
      if (at % 2 === 0) await restart(stage);
      await del(stage);
      expect(await stateOf(stage)).toEqual(before);
      if (at % 2 === 1) await restart(stage);
      await goesOn(stage, before);
    });
    expect(failures.map(([{ text }, message]) => `${text}\n${message}`).join("\n\n")).toBe("");
    expect(hits).toBeGreaterThan(points.length * 0.95);
  });

  test("meets an error of any system call: it ends before it listens and says why, or goes on with all it has", async () => {
    const points = pointsOf(await recordDaemon(verb));
    const failures = await nodeWorkers(dhcp, points, async (stage, before, point) => {
      const { daemon, lines } = await disturb(stage, verb, point);
      servedOn(stage.node).daemon = daemon;
      if (!isMet(lines())) await restart(stage);
      else if ((await stage.node.podwire("STATUS", stage.call)).exitCode !== 0) {
        await daemon.ended;
        expect(daemon.lines.join("\n")).toContain(point.errno);
        await restart(stage);
      }
      await goesOn(stage, before);
    });
    expect(failures.map(([{ fail, errno }, message]) => `${errno} of ${fail.text}\n${message}`).join("\n\n")).toBe("");
  });
});

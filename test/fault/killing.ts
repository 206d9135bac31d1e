import { expect } from "vitest";
import type { Verb } from "../executable/harness.ts";
import {
  add,
  callOf,
  collect,
  del,
  liveAgain,
  record,
  type Scenario,
  type Stage,
  stateOf,
  succeed,
} from "./scenarios.ts";
import { changes, type SystemCall, trace } from "./strace.ts";
import { nodeWorkers } from "./node-workers.ts";

/** Processes that were to be killed, and those that were. */
export const killing = { attempts: 0, kills: 0 };

export async function killAt(stage: Stage, verb: Verb, at: SystemCall): Promise<void> {
  const answer = await trace(stage.node, verb, callOf(stage, verb), { kill: at });
  killing.attempts += 1;
  if (answer.killed) killing.kills += 1;
  else succeed(verb, answer); // it made fewer calls of that name than the run that was recorded
}

export const draftsOf = ({ node }: Stage): string[] =>
  Object.keys(node.leases({ all: true })).filter((path) => path.includes("/.new-"));

/**
 * Kills the verb at each of its changes, of those that `which` wants, and sees to it that DEL, and GC, put everything
 * back; `byTurns`: one of the two. What is wrong, "" when nothing is.
 */
export async function killEverywhere(
  scenario: Scenario,
  verb: Verb,
  { which = changes, byTurns = false }: { which?: (call: SystemCall) => boolean; byTurns?: boolean } = {},
): Promise<string> {
  const points = (await record(scenario, verb)).filter(which);
  expect(points.length).toBeGreaterThan(0);
  const failures = await nodeWorkers(scenario, points, async (stage, before, point, at) => {
    const remove = async () => del(stage, at % 2 === 0 || scenario.inPod ? {} : { netns: "" });
    const repairs = [remove, ...(scenario.inPod ? [] : [async () => collect(stage)])];
    for (const repair of byTurns ? [repairs[at % repairs.length]!] : repairs) {
      if (verb !== "ADD") await add(stage);
      await killAt(stage, verb, point);
      await repair();
      expect(await stateOf(stage)).toEqual(before);
    }
    await del(stage); // GC leaves alone what an ADD may be at
    expect(draftsOf(stage)).toEqual([]);
    await liveAgain(stage, before);
  });
  return failures
    .map(([point, message]) => `${verb} killed at ${point.name} ${point.nth}: ${point.text}\n${message}`)
    .join("\n\n");
}

import { afterAll, describe, expect, test } from "vitest";
import type { Verb } from "../executable/harness.ts";
import {
  add,
  callOf,
  collect,
  del,
  liveAgain,
  nodeWorkers,
  record,
  type Scenario,
  scenarios,
  setUp,
  type Stage,
  stateOf,
  succeed,
} from "./scenarios.ts";
import { changes, type SystemCall, trace } from "./strace.ts";

let attempts = 0;
let kills = 0;
afterAll(() => console.log(`processes killed: ${kills}`));

async function killAt(stage: Stage, verb: Verb, at: SystemCall): Promise<void> {
  const answer = await trace(stage.node, verb, callOf(stage, verb), { kill: at });
  attempts += 1;
  if (answer.killed) kills += 1;
  else succeed(verb, answer); // it made fewer calls of that name than the run that was recorded
}

const draftsOf = ({ node }: Stage): string[] =>
  Object.keys(node.leases({ all: true })).filter((path) => path.includes("/.new-"));

/** Kills the verb at each of its changes, and sees to it that DEL, and GC, put everything back. */
async function killEverywhere(scenario: Scenario, verb: Verb): Promise<string> {
  const points = (await record(scenario, verb)).filter(changes);
  expect(points.length).toBeGreaterThan(5);
  const failures = await nodeWorkers(scenario, points, async (stage, before, point, at) => {
    const remove = async () => del(stage, at % 2 === 0 || scenario.inPod ? {} : { netns: "" });
    for (const repair of [remove, ...(scenario.inPod ? [] : [async () => collect(stage)])]) {
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

const named = Object.values(scenarios).map((scenario) => [scenario.name, scenario] as const);

describe("killed at any system call that changes something, DEL and GC put everything back and a new ADD works", () => {
  test.each(named)("ADD: %s", { timeout: 300_000 }, async (_name, scenario) =>
    expect(await killEverywhere(scenario, "ADD")).toBe(""),
  );
  test.each(named)("DEL: %s", { timeout: 300_000 }, async (_name, scenario) =>
    expect(await killEverywhere(scenario, "DEL")).toBe(""),
  );
  test("GC", { timeout: 300_000 }, async () => expect(await killEverywhere(scenarios.bridge, "GC")).toBe(""));

  // Here the bridge, the tables and the folders are in the making
  test("the first ADD of a node", { timeout: 300_000 }, async () => {
    const undisturbed = await setUp(scenarios.bridge, { live: false });
    await add(undisturbed);
    await del(undisturbed);
    const after = withoutMacs(await stateOf(undisturbed));
    const points = (await record(scenarios.bridge, "ADD", { live: false })).filter(changes);
    const work = async (): Promise<void> => {
      for (let point = points.shift(); point; point = points.shift()) {
        const stage = await setUp(scenarios.bridge, { live: false });
        await killAt(stage, "ADD", point);
        await del(stage);
        await liveAgain(stage, await stateOfShared(stage));
        expect(withoutMacs(await stateOf(stage)), `killed at ${point.text}`).toEqual(after);
        expect(draftsOf(stage)).toEqual([]);
        await stage.node.remove();
      }
    };
    await Promise.all([work(), work()]);
  });

  test("nearly all of these kills hit", () => expect(kills).toBeGreaterThan(attempts * 0.95));
});

/** The state once all that is shared exists. */
async function stateOfShared(stage: Stage) {
  await add(stage);
  await del(stage);
  return stateOf(stage);
}

const withoutMacs = (state: object): unknown =>
  JSON.parse(JSON.stringify(state).replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC"));

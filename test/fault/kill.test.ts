import { afterAll, describe, expect, test } from "vitest";
import { dhcp } from "./dhcp.ts";
import { draftsOf, killAt, killEverywhere, killing } from "./killing.ts";
import { add, del, liveAgain, record, scenarios, setUp, type Stage, stateOf } from "./scenarios.ts";
import { changes } from "./strace.ts";

afterAll(() => console.log(`processes killed: ${killing.kills}`));

const named = [...Object.values(scenarios), dhcp].map((scenario) => [scenario.name, scenario] as const);

describe("killed at any system call that changes something, DEL and GC put everything back and a new ADD works", () => {
  test.each(named)("ADD: %s", async (_name, scenario) => expect(await killEverywhere(scenario, "ADD")).toBe(""));
  test.each(named)("DEL: %s", async (_name, scenario) => expect(await killEverywhere(scenario, "DEL")).toBe(""));
  test.each(named.filter(([, { inPod }]) => !inPod))("GC: %s", async (_name, scenario) =>
    expect(await killEverywhere(scenario, "GC")).toBe(""),
  );

  // Here the bridge, the tables and the folders are in the making
  test("the first ADD of a node", async () => {
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

  test("nearly all of these kills hit", () => expect(killing.kills).toBeGreaterThan(killing.attempts * 0.95));
});

/** The state once all that is shared exists. */
async function stateOfShared(stage: Stage) {
  await add(stage);
  await del(stage);
  return stateOf(stage);
}

const withoutMacs = (state: object): unknown =>
  JSON.parse(JSON.stringify(state).replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC"));

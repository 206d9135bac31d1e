import { describe, expect, test } from "vitest";
import { type Call, reference } from "./harness.ts";
import { versions } from "./configs.ts";
import { type Scenario, shapes } from "./differential/scenario.ts";
import { scenarios } from "./differential/scenarios.ts";
import { configOf, podwire, type Run, setUp, theirs, transcript } from "./differential/transcript.ts";

/**
 * A version changes how results are read and printed, which one ADD, CHECK and DEL show; the whole sequence is run in
 * one version of each shape, unless a scenario says otherwise. In all of them: `DIFFERENTIAL=whole`.
 */
const isWhole = ({ versions: own }: Scenario, version: string): boolean =>
  own !== undefined || shapes.includes(version) || process.env.DIFFERENTIAL === "whole";

const supported = versions.filter((version) => reference.newest || version !== "1.1.0");
const cases = scenarios
  .filter((scenario) => reference.newest || !scenario.newestOnly)
  .flatMap((scenario) =>
    supported
      .filter((version) => scenario.versions?.includes(version) ?? true)
      .map((version) => ({ scenario, version, name: scenario.name, isWhole: isWhole(scenario, version) })),
  );

describe("podwire and the reference", () => {
  test.each(cases)("$name, $version", async ({ scenario, version, isWhole }) => {
    const [mine, other] = await Promise.all([
      transcript(podwire, scenario, version, { isWhole }),
      transcript(theirs, scenario, version, { isWhole }),
    ]);
    expect(mine).toEqual(other);
  });

  const switches = scenarios.filter(({ name }) =>
    /bridge with everything|ptp dual stack|macvlan(?! with static)|tap with an/.test(name),
  );
  test.each(switches)("a pod made by the reference is removed by podwire: $name", async (scenario) => {
    const { before, after } = await crossing(theirs, podwire, scenario);
    expect(after).toEqual(before);
  });

  // DEL of Debian's v1.1.1 fails wherever its iptables chain is missing, which podwire never made
  const backwards = switches.filter(({ plugin }) => reference.newest || plugin === "ptp");
  test.each(backwards)("a pod made by podwire is removed by the reference: $name", async (scenario) => {
    const { before, after } = await crossing(podwire, theirs, scenario);
    expect({ ...after, host: { ...after.host, ruleset: [] } }).toEqual({
      ...before,
      host: { ...before.host, ruleset: [] },
    });
  });
});

/**
 * The node before a pod was made by one implementation and after it was removed by another; another pod stays
 * throughout.
 */
async function crossing(make: Run, remove: Run, scenario: Scenario) {
  const { node, pods } = await setUp(scenario);
  const config = configOf(scenario, node, "1.0.0");
  const call = (pod: number): Call => ({
    plugin: scenario.plugin,
    config,
    containerId: `container-${pod}`,
    netns: pods[pod]!,
  });
  const read = async () => {
    const { leases, ...host } = await node.snapshot();
    return { host, leases };
  };
  await make(node, "ADD", call(0));
  const before = await read();
  const added = await make(node, "ADD", call(1));
  const removed = await remove(node, "DEL", call(1));
  expect([added.exitCode, removed.exitCode, removed.stdout]).toEqual([0, 0, ""]);
  return { before, after: await read() };
}

import { cpus } from "node:os";
import { type Scenario, setUp, type Stage, type State, stateOf } from "./scenarios.ts";

/** Nodes that work at the same time. */
const WORKERS = Math.min(2, cpus().length);
/** Runs `disturb` for every point, each worker on a node that is kept as long as nothing fails on it; the failures. */
export async function nodeWorkers<P>(
  scenario: Scenario,
  points: readonly P[],
  disturb: (stage: Stage, before: State, point: P, at: number) => Promise<void>,
): Promise<[P, string][]> {
  const failures: [P, string][] = [];
  const rest = [...points.entries()];
  const work = async (): Promise<void> => {
    let stage: Stage | undefined;
    let before: State | undefined;
    for (let next = rest.shift(); next; next = rest.shift()) {
      const [at, point] = next;
      stage ??= await setUp(scenario);
      before ??= await stateOf(stage);
      try {
        await disturb(stage, before, point, at);
        if (rest.length === 0) await scenario.end?.(stage);
      } catch (error) {
        failures.push([point, (error as Error).message]);
        await stage.node.remove();
        stage = before = undefined;
      }
    }
    await stage?.node.remove();
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  return failures;
}

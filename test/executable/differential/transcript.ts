import { Node, reference, type Answer, type Call, type Verb } from "../harness.ts";
import { type Forms, normalise, podState, type Naming } from "./normalise.ts";
import type { Scenario } from "./scenario.ts";

export type Run = (node: Node, verb: Verb, call: Call) => Promise<Answer>;

export const podwire: Run = async (node, verb, call) => node.podwire(verb, call);
export const theirs: Run = async (node, verb, call) => node.reference(verb, call);

// Debian's v1.1.1 prints 1.x results in the key order of 0.4 and other lease modes, so only parsed values are compared
// with it.
const exact = reference.newest;

/** A node with two pods, and what the scenario needs there. */
export async function setUp(scenario: Scenario): Promise<Naming> {
  const node = await Node.create();
  const pods = [await node.pod(), await node.pod()];
  await scenario.prepare?.(node, pods);
  return { node, pods };
}

/** A scenario's configuration as a runtime sends it. */
export const configOf = (scenario: Scenario, node: Node, version: string): object => ({
  type: scenario.plugin,
  ...scenario.config(node, version),
});

/** Where verbs are run, and the links that are there, unless they are to be looked for. */
type Place = { naming: Naming } & Pick<Forms, "links">;

/** Runs verbs and keeps what each answered, with what differs by nature normalised. */
function recorder(run: Run, scenario: Scenario, version: string, { naming, ...more }: Place) {
  const steps: unknown[] = [];
  const config = configOf(scenario, naming.node, version);
  const forms = { exact, loose: scenario.looseResult?.(version) === true, ...more };
  let printed: unknown;

  const step = async (verb: Verb, pod: number, more: object = {}): Promise<void> => {
    const call = {
      plugin: scenario.plugin,
      config: { ...config, ...more },
      containerId: `container-${pod}`,
      netns: naming.pods[pod]!,
      ...scenario.call,
    };
    const answer = await run(naming.node, verb, call);
    if (verb === "ADD" && pod === 0 && answer.result !== undefined) printed ??= answer.result;
    steps.push({ verb, pod, ...(await normalise(answer, naming, forms)) });
  };
  const check = async (): Promise<void> => {
    if (canCheck(version)) await step("CHECK", 0, { prevResult: printed });
  };
  return { steps, step, check };
}

/** What one pod's ADD, CHECK and DEL answered, on a node that is there; the results name no link of the node. */
export async function answers(run: Run, scenario: Scenario, version: string, naming: Naming): Promise<unknown[]> {
  const { steps, step, check } = recorder(run, scenario, version, { naming, links: [] });
  await step("ADD", 0);
  await check();
  await step("DEL", 0);
  return steps;
}

/** What a sequence of verbs answered and left, step by step, one pod's alone unless it `isWhole`. */
export async function transcript(
  run: Run,
  scenario: Scenario,
  version: string,
  { isWhole = true }: { isWhole?: boolean } = {},
): Promise<unknown[]> {
  const naming = await setUp(scenario);
  const { node, pods } = naming;
  const { steps, step, check } = recorder(run, scenario, version, { naming });
  const look = async (): Promise<void> => {
    steps.push(await podState(naming));
  };

  await step("ADD", 0);
  await look();
  // before the second ADD: a bridge the reference made takes another MAC then, and its own CHECK fails
  await check();
  if (scenario.once === true || !isWhole) {
    if (scenario.once === true && scenario.between !== undefined) steps.push(await scenario.between(node, pods));
    await step("DEL", 0);
    await look();
    return steps;
  }
  await step("ADD", 1);
  if (scenario.between !== undefined) steps.push(await scenario.between(node, pods));
  await look();
  if (scenario.duplicate !== false) await step("ADD", 0);
  await look();
  await step("DEL", 0);
  await step("DEL", 0);
  await look();
  await step("ADD", 0);
  await look();
  await step("DEL", 0);
  await step("DEL", 1);
  await look();
  return steps;
}

// CHECK of Debian's ptp fails on pods it made itself when they have several routes
const canCheck = (version: string): boolean => reference.newest && !/^0\.[123]\./.test(version);

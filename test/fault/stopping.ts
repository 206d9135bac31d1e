import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Answer, Verb } from "../executable/harness.ts";
import { add, callOf, collect, del, record, type Scenario, type Stage, stateOf, succeed } from "./scenarios.ts";
import { changes, type SystemCall, trace } from "./strace.ts";
import { nodeWorkers } from "./node-workers.ts";

/** ADDs during which a GC or DEL ran, and those that failed of it; GCs, and ADDs, during which an ADD ran. */
export const stopping = { adds: 0, failures: 0, gcs: 0, seconds: 0 };

/** What is done after that is nothing the verb could notice. */
const answers = ({ text }: SystemCall): boolean => text.startsWith("write(1,");

/** Its changes, of which the last one prints the answer, where there is one. */
async function pointsOf(scenario: Scenario, verb: Verb): Promise<SystemCall[]> {
  const calls = (await record(scenario, verb)).filter(changes);
  const end = calls.findIndex(answers);
  expect(calls.length).toBeGreaterThan(0);
  return end < 0 ? calls : calls.slice(0, end);
}

/** Whoever needs the lock of the leases waits for it, and begins where it is given back: before a later change. */
const hasLock = (pid: number): boolean => new RegExp(`FLOCK .* ${pid} `).test(readFileSync("/proc/locks", "utf8"));

const unlessLocked = (use: () => Promise<unknown>) => async (pid: number) => void (hasLock(pid) || (await use()));

/**
 * Stops ADD behind each of its changes, lets a GC run whose list is from before, or a DEL of the attachment, and sees to
 * it that ADD either is whole or says that it was disturbed (code 11) and leaves nothing; what is wrong, "" when nothing
 * is.
 */
export async function removeDuringAdd(scenario: Scenario, verb: "GC" | "DEL"): Promise<string> {
  const remove = verb === "GC" ? collect : del;
  const failures = await nodeWorkers(scenario, await pointsOf(scenario, "ADD"), async (stage, before, stop) => {
    const meanwhile = unlessLocked(async () => remove(stage));
    const { exitCode, result, error } = await trace(stage.node, "ADD", callOf(stage, "ADD"), { stop, meanwhile });
    stopping.adds += 1;
    if (exitCode === 0) await endWhole(stage, result);
    else {
      stopping.failures += 1;
      expect(error).toMatchObject({ code: 11, msg: expect.stringContaining("removed while") });
      await collect(stage); // what no pod uses, a chain for one, is the next GC's
    }
    expect(await stateOf(stage)).toEqual(before);
  });
  return told(`${verb} while ADD`, failures);
}

/** Stops GC behind each of its changes, and lets an ADD run, which its list cannot have: it must be left whole. */
export async function addDuringCollect(scenario: Scenario): Promise<string> {
  const failures = await nodeWorkers(scenario, await pointsOf(scenario, "GC"), async (stage, before, stop) => {
    await add(stage);
    const young: Stage = { ...stage, call: { ...stage.call, containerId: "young", netns: await stage.node.pod() } };
    let result: object | undefined;
    const meanwhile = unlessLocked(async () => ({ result } = await add(young)));
    succeed("GC", await trace(stage.node, "GC", callOf(stage, "GC"), { stop, meanwhile }));
    stopping.gcs += 1;
    if (result) await endWhole(young, result);
    await del(stage);
    expect(await stateOf(stage)).toEqual(before);
  });
  return told("ADD while GC", failures);
}

/**
 * Stops ADD behind each of its changes, and lets another ADD of the same attachment run, as of a runtime that tries
 * again: one of them succeeds, and is whole whatever the other takes back.
 */
export async function addDuringAdd(scenario: Scenario): Promise<string> {
  const failures = await nodeWorkers(scenario, await pointsOf(scenario, "ADD"), async (stage, before, stop) => {
    const answers: Answer[] = [];
    const meanwhile = unlessLocked(async () => answers.push(await stage.node.podwire("ADD", stage.call)));
    answers.push(await trace(stage.node, "ADD", callOf(stage, "ADD"), { stop, meanwhile }));
    stopping.seconds += answers.length - 1;
    expect(answers.toSorted((a, b) => a.exitCode - b.exitCode)).toMatchObject([
      { exitCode: 0 },
      ...answers.slice(1).map(() => ({ exitCode: 1 })),
    ]);
    await endWhole(stage, answers.find(({ exitCode }) => exitCode === 0)!.result);
    expect(await stateOf(stage)).toEqual(before);
  });
  return told("another ADD while ADD", failures);
}

async function endWhole(stage: Stage, prevResult: object | undefined): Promise<void> {
  const { node, call } = stage;
  succeed("CHECK", await node.podwire("CHECK", { ...call, config: { ...call.config, prevResult } }));
  await del(stage);
}

const told = (what: string, failures: readonly [SystemCall, string][]): string =>
  failures
    .map(([point, message]) => `${what} stood at ${point.name} ${point.nth}: ${point.text}\n${message}`)
    .join("\n\n");

import { expect } from "vitest";
import type { Answer, Verb } from "../executable/harness.ts";
import {
  add,
  callOf,
  collect,
  del,
  record,
  type Scenario,
  type Stage,
  type State,
  stateOf,
  succeed,
} from "./scenarios.ts";
import { changes, onFiles, onNetlink, type SystemCall, trace } from "./strace.ts";
import { nodeWorkers } from "./node-workers.ts";

/** What a disk says when something is changed, and when something is read; what a socket and a wait can say. */
const errors = {
  change: ["ENOSPC", "EIO"],
  look: ["EIO", "EACCES"],
  send: ["ENOBUFS"],
  receive: ["ENOBUFS", "EINTR"],
  wait: ["EINTR"],
};

interface Point {
  call: SystemCall;
  errno: string;
}

/** Calls that failed, and the verbs that failed of it. */
export const injections = { calls: 0, verbs: 0 };

/**
 * One error for each call, by turns: what deals with it is the same functions for all of them, in every scenario. What
 * changes files meets a missing permission besides, what makes them somebody who was faster.
 */
function pointsOf(calls: SystemCall[]): Point[] {
  const turns = { change: 0, look: 0, send: 0, receive: 0, wait: 0 };
  return calls
    .filter((call) => onFiles(call) || onNetlink(call))
    .flatMap((call): Point[] => {
      const kind = kindOf(call);
      const errnos = [errors[kind][turns[kind]++ % errors[kind].length]!];
      if (kind === "change") errnos.push("EACCES", ...(creates(call) ? ["EEXIST"] : []));
      return errnos.map((errno) => ({ call, errno }));
    });
}

function kindOf(call: SystemCall): keyof typeof errors {
  if (onFiles(call)) return changes(call) ? "change" : "look";
  return call.name === "sendto" ? "send" : call.name === "recvfrom" ? "receive" : "wait";
}

/** Somebody else may be faster wherever something is made that must not exist. */
const creates = ({ name, text }: SystemCall): boolean =>
  /^(link|symlink|mkdir)(at)?$/.test(name) || text.includes("O_EXCL");

async function failAt(stage: Stage, verb: Verb, point: Point): Promise<Answer> {
  const answer = await trace(stage.node, verb, callOf(stage, verb), { fail: point.call, errno: point.errno });
  injections.calls += answer.lines.filter((line) => line.includes("(INJECTED)")).length;
  if (answer.exitCode !== 0) {
    injections.verbs += 1;
    expect(answer.error).toMatchObject({
      code: expect.toBeOneOf([4, 5, 7, 11, 999]),
      msg: expect.stringMatching(/.{10}/),
    });
    if (point.errno !== "EEXIST") expect(`${answer.error!.msg} ${answer.error!.details ?? ""}`).toContain(point.errno);
    expect(answer.error!.msg).not.toContain("internal error");
  }
  return answer;
}

/** An ADD that fails leaves nothing; one that does not is whole. Either way a DEL leaves nothing. */
async function failAdd(stage: Stage, point: Point, before: State): Promise<void> {
  const { exitCode, result } = await failAt(stage, "ADD", point);
  if (exitCode === 0) {
    succeed(
      "CHECK",
      await stage.node.podwire("CHECK", { ...stage.call, config: { ...stage.call.config, prevResult: result } }),
    );
  } else expect(await stateOf(stage)).toEqual(before);
  await del(stage);
  if (exitCode === 0) expect(await stateOf(stage)).toEqual(before);
}

/** A DEL that fails succeeds when it is repeated; one that succeeds has left nothing. */
async function failDel(stage: Stage, point: Point, before: State): Promise<void> {
  await add(stage);
  const { exitCode, stderr } = await failAt(stage, "DEL", point);
  // a chained plugin's succeeds all the same, for the others to have theirs; what is in the pod goes with it
  const isLeft = stderr.includes("may be left behind");
  if (exitCode !== 0 || (isLeft && stage.inPod)) await del(stage);
  else if (isLeft) await collect(stage);
  expect(await stateOf(stage)).toEqual(before);
}

/** What a GC cannot do, whatever it answers, the next one does, and nothing of a pod that lives is taken. */
async function failGc(stage: Stage, point: Point, before: State): Promise<void> {
  await add(stage);
  await failAt(stage, "GC", point);
  await collect(stage);
  expect(await stateOf(stage)).toEqual(before);
  await del(stage); // what a GC leaves alone, as what an ADD may be at
}

const disturbed = { ADD: failAdd, DEL: failDel, GC: failGc };

/**
 * Makes each of a verb's calls fail that touch files, devices or sockets, of those that `which` wants, and sees to it
 * that nothing is left; what is wrong, "" when nothing is.
 */
export async function failEverywhere(
  scenario: Scenario,
  verb: keyof typeof disturbed,
  which: (call: SystemCall) => boolean = () => true,
): Promise<string> {
  const points = pointsOf((await record(scenario, verb)).filter(which));
  expect(points.length).toBeGreaterThan(0);
  const failures = await nodeWorkers(scenario, points, async (stage, before, point) => {
    await disturbed[verb](stage, point, before);
  });
  return failures
    .map(([{ call, errno }, message]) => `${verb}: ${errno} from ${call.name} ${call.nth}: ${call.text}\n${message}`)
    .join("\n\n");
}

import { afterAll, describe, expect, test } from "vitest";
import type { Answer, Verb } from "../executable/harness.ts";
import {
  add,
  collect,
  del,
  nodeWorkers,
  record,
  type Scenario,
  scenarios,
  type Stage,
  type State,
  stateOf,
  succeed,
} from "./scenarios.ts";
import { onFiles, onNetlink, type SystemCall, trace } from "./strace.ts";

const fileErrors = ["ENOSPC", "EIO", "EACCES", "EEXIST"];
const netlinkErrors = ["ENOBUFS", "EINTR"];

interface Point {
  call: SystemCall;
  errno: string;
}

let injected = 0;
let failed = 0;
afterAll(() => console.log(`calls made to fail: ${injected}; operations that failed of it: ${failed}`));

const pointsOf = (calls: SystemCall[]): Point[] => [
  ...calls
    .filter(onFiles)
    .flatMap((call) =>
      fileErrors.filter((errno) => errno !== "EEXIST" || creates(call)).map((errno) => ({ call, errno })),
    ),
  ...calls.filter(onNetlink).flatMap((call) => netlinkErrors.map((errno) => ({ call, errno }))),
];

/** Somebody else may be faster wherever something is made that must not exist. */
const creates = ({ name, text }: SystemCall): boolean =>
  /^(link|symlink|mkdir)(at)?$/.test(name) || text.includes("O_EXCL");

async function failAt({ node, call }: Stage, verb: Verb, point: Point): Promise<Answer> {
  const answer = await trace(node, verb, call, { fail: point.call, errno: point.errno });
  injected += answer.lines.filter((line) => line.includes("(INJECTED)")).length;
  if (answer.exitCode !== 0) {
    failed += 1;
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
  if (exitCode !== 0) await del(stage);
  else if (stderr.includes("may be left behind")) await collect(stage);
  expect(await stateOf(stage)).toEqual(before);
}

async function failEverywhere(scenario: Scenario, verb: Verb): Promise<string> {
  const points = pointsOf(await record(scenario, verb));
  expect(points.length).toBeGreaterThan(10);
  const failures = await nodeWorkers(scenario, points, async (stage, before, point) => {
    await (verb === "ADD" ? failAdd : failDel)(stage, point, before);
  });
  return failures
    .map(([{ call, errno }, message]) => `${verb}: ${errno} from ${call.name} ${call.nth}: ${call.text}\n${message}`)
    .join("\n\n");
}

// The link-local mode makes the same calls as ptp
const named = [
  scenarios.bridge,
  scenarios.ptp,
  scenarios.macvlan,
  scenarios.hostDevice,
  scenarios.tap,
  scenarios.hostLocal,
  scenarios.portmap,
  scenarios.firewall,
  scenarios.flannel,
  scenarios.bandwidth,
  scenarios.tuning,
].map((scenario) => [scenario.name, scenario] as const);

describe("whatever call on a file, a device or a netlink socket fails", () => {
  test.each(named)("an ADD that fails leaves nothing: %s", { timeout: 300_000 }, async (_name, scenario) =>
    expect(await failEverywhere(scenario, "ADD")).toBe(""),
  );
  test.each(named)("a DEL that fails succeeds when repeated: %s", { timeout: 300_000 }, async (_name, scenario) =>
    expect(await failEverywhere(scenario, "DEL")).toBe(""),
  );
});

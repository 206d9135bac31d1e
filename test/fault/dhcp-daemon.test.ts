import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Process } from "../executable/dhcp.ts";
import { temporaryFolder } from "../executable/harness.ts";
import { dhcp, servedOn } from "./dhcp.ts";
import { draftsOf } from "./killing.ts";
import { add, del, liveAgain, nodeWorkers, setUp, type Stage, type State, stateOf } from "./scenarios.ts";
import { changes, type Fault, onFiles, type SystemCall, systemCalls, tracing } from "./strace.ts";

// The daemon is disturbed, from its start to the end of a verb that asks it; the plugin is not.

const QUICK = ["--timeout", "300ms", "--resendmax", "1s", "--resendtimeout", "4s"];
const traces = temporaryFolder("traces");
let count = 0;

type Verb = "ADD" | "DEL";

/** The daemon is ended and another one started under strace; ready, or ended by the fault. */
async function startTraced(stage: Stage, fault?: Fault): Promise<{ daemon: Process; lines(): string[] }> {
  const { scene, daemon: before } = servedOn(stage.node);
  await before.stop("SIGTERM");
  const file = `${traces}/${(count += 1)}`;
  // -D: the process is the daemon, not strace
  const daemon = scene.startDaemon(["strace", "-D", "-o", file, ...tracing(fault)], QUICK);
  await daemon.line(/listens at|goes on with/).catch(() => undefined);
  return { daemon, lines: () => readFileSync(file, "utf8").trimEnd().split("\n") };
}

async function restart(stage: Stage): Promise<void> {
  const served = servedOn(stage.node);
  await served.daemon.stop();
  served.daemon = await served.scene.daemon(...QUICK);
}

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

/** DEL leaves nothing of it, what another pod has is there, and the daemon serves who asks next. */
async function goesOn(stage: Stage, before: State): Promise<void> {
  await del(stage);
  expect(await stateOf(stage)).toEqual(before);
  await liveAgain(stage, before);
  expect(draftsOf(stage)).toEqual([]);
}

/** What each call can say that is no answer to it. */
const errnos: Readonly<Record<string, string>> = {
  accept4: "EMFILE",
  ppoll: "EINTR",
  recvfrom: "ENOBUFS",
  sendto: "ENOBUFS",
  setns: "EPERM",
  socket: "EMFILE",
};
/** What every process does with what is its own, and the end. */
const harmless = new Set(["close", "exit_group", "getpid", "getrandom", "ioctl", "fcntl", "read"]);

const pointsOf = (calls: SystemCall[]): { fail: SystemCall; errno: string }[] =>
  calls
    .filter(({ name }) => !harmless.has(name))
    .map((call) => ({ fail: call, errno: errnos[call.name] ?? (onFiles(call) ? "EIO" : "ENOMEM") }));

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
  }, 300_000);

  test("meets an error of any system call: it ends before it listens and says why, or goes on with all it has", async () => {
    const points = pointsOf(await recordDaemon(verb));
    const failures = await nodeWorkers(dhcp, points, async (stage, before, point) => {
      const { daemon } = await disturb(stage, verb, point);
      const { exitCode } = await stage.node.podwire("STATUS", stage.call);
      if (exitCode === 0) servedOn(stage.node).daemon = daemon;
      else {
        await daemon.ended;
        expect(daemon.lines.join("\n")).toContain(point.errno);
        await restart(stage);
      }
      await goesOn(stage, before);
    });
    expect(failures.map(([{ fail, errno }, message]) => `${errno} of ${fail.text}\n${message}`).join("\n\n")).toBe("");
  }, 600_000);
});

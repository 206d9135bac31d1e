import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { macvlan } from "../executable/configs.ts";
import { DhcpScene, type Process, socketOf } from "../executable/dhcp.ts";
import { type Node, temporaryFolder } from "../executable/harness.ts";
import { draftsOf } from "./killing.ts";
import { del, liveAgain, type Scenario, type Stage, type State, stateOf } from "./scenarios.ts";
import { type Fault, onFiles, type SystemCall, tracing } from "./strace.ts";

export interface Served {
  scene: DhcpScene;
  server: Process;
  daemon: Process;
}

const nodes = new WeakMap<Node, Served>();

export const servedOn = (node: Node): Served => nodes.get(node)!;

/** Links of a network with a DHCP server, which gives leases that need no renewal while a test runs. */
export const dhcp: Scenario = {
  name: "macvlan with dhcp",
  async prepare(node) {
    const scene = await DhcpScene.make(node);
    const range = "--dhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,12h";
    const server = await scene.dnsmasq(range, "--dhcp-option=option:router,10.9.0.1");
    nodes.set(node, { scene, server, daemon: await scene.daemon() });
  },
  config: (node) => macvlan(node, { ipam: { type: "dhcp", daemonSocketPath: socketOf(node), dataDir: node.dataDir } }),
  // a server that heard too little of a disturbed call has the address back after the next one: it is the same client
  async end(stage) {
    const { scene, server } = servedOn(stage.node);
    const from = server.lines.length;
    await liveAgain(stage, await stateOf(stage));
    await server.line(/DHCPRELEASE/, { from });
    await expect.poll(() => scene.leased()).toHaveLength(stage.valid.length); // written after it is said
  },
};

/** Where a call fails, what was not said is said again soon; else nothing is said twice, however busy the machine is. */
const QUICK = ["--timeout", "300ms", "--resendmax", "1s", "--resendtimeout", "4s"];
const traces = temporaryFolder("traces");
let count = 0;

/**
 * The daemon is ended and another one started under strace, after what is done `meanwhile`; ready, or ended by the
 * fault.
 */
export async function startTraced(
  stage: Stage,
  fault?: Fault,
  meanwhile?: () => void,
): Promise<{ daemon: Process; lines(): string[] }> {
  const { scene, daemon: before } = servedOn(stage.node);
  await before.stop("SIGTERM");
  meanwhile?.();
  const file = `${traces}/${(count += 1)}`;
  // -D: the process is the daemon, not strace
  const pace = fault && "fail" in fault ? QUICK : [];
  const daemon = scene.startDaemon(["strace", "-D", "-o", file, ...tracing(fault)], pace);
  await daemon.line(/listens at|goes on with/).catch(() => undefined);
  return { daemon, lines: () => readFileSync(file, "utf8").trimEnd().split("\n") };
}

/**
 * The fault has happened. Packets that come together are received by fewer calls than when the calls were recorded:
 * then it is whoever asks next who would meet it.
 */
export const isMet = (lines: string[]): boolean => lines.some((line) => line.includes("(INJECTED)"));

/** A daemon that nothing happens to. */
export async function restart(stage: Stage): Promise<void> {
  const served = servedOn(stage.node);
  await served.daemon.stop();
  served.daemon = await served.scene.daemon(...QUICK);
}

/** DEL leaves nothing of it, what another pod has is there, and the daemon serves who asks next. */
export async function goesOn(stage: Stage, before: State): Promise<void> {
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

/** Each call that can fail, with an error of its kind. */
export const pointsOf = (calls: SystemCall[]): { fail: SystemCall; errno: string }[] =>
  calls
    .filter(({ name }) => !harmless.has(name))
    .map((call) => ({ fail: call, errno: errnos[call.name] ?? (onFiles(call) ? "EIO" : "ENOMEM") }));

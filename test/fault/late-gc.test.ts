import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { attach, bridge, complaint, dualStack, ptp, type Config } from "../executable/configs.ts";
import { Node, podwireFolder } from "../executable/harness.ts";
import { environment } from "../harness/invoke.ts";
import { tcp } from "../executable/ports.ts";

// A whole ADD while a GC, whose list is older, is at work.

const ports = { capabilities: { portMappings: true }, runtimeConfig: { portMappings: [tcp(8080, 80)] } };
const networks: [string, (node: Node) => Config][] = [
  [
    "bridge",
    (node) => bridge(node, { isGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node), ...ports }),
  ],
  [
    "bridge, iptables",
    (node) => bridge(node, { isGateway: true, ipMasq: true, ipMasqBackend: "iptables", ipam: dualStack(node) }),
  ],
  ["ptp", (node) => ptp(node, { ipMasq: true, ipam: dualStack(node), ...ports })],
];
const moments: [string, (node: Node) => string[]][] = [
  ["after links were listed, before rules are", () => ["-e", "inject=socket:signal=SIGSTOP:when=2"]],
  [
    "before leases are listed",
    ({ dataDir }) => ["-P", join(dataDir, "net/lock"), "-e", "inject=openat:signal=SIGSTOP:when=1"],
  ],
];

/** Waits until strace says that the program it runs is stopped, and returns that one's id. */
async function stoppedBy(strace: ChildProcessWithoutNullStreams): Promise<number> {
  let said = "";
  await new Promise<void>((resolve, reject) => {
    strace.once("close", () => reject(new Error(`GC did not stop: ${said}`)));
    strace.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("stopped by SIGSTOP")) resolve();
    });
  });
  return Number(readFileSync(`/proc/${strace.pid}/task/${strace.pid}/children`, "utf8").trim());
}

const cases = networks.flatMap(([name, network]) => moments.map(([when, how]) => [name, when, network, how] as const));

test.each(cases)("%s, %s: what it made stays", async (_name, _when, network, how) => {
  const node = await Node.create();
  const config = network(node);
  await node.succeed("DEL", (await attach(node, config)).call); // what is shared is there
  const lost = await attach(node, { ...config, runtimeConfig: {} });
  const given = { plugin: config.type, config: { ...config, "cni.dev/valid-attachments": [] } };
  const strace = ["-qq", "-e", "trace=socket,openat", ...how(node)];
  const line = ["netns", "exec", node.name, "strace", ...strace, join(podwireFolder(), config.type)];
  const gc = spawn("ip", line, { env: { ...process.env, ...environment(podwireFolder(), "GC", given) } });
  const ended = new Promise((resolve) => gc.once("close", resolve));
  gc.stdin.end(JSON.stringify(given.config));
  const stopped = await stoppedBy(gc);
  const made = await attach(node, config);
  process.kill(stopped, "SIGCONT");
  expect(await ended).toBe(0);
  expect(await complaint(node, made)).toBe("");
  expect(await node.link(lost.hostVeth)).toBeUndefined();
  expect(Object.keys(node.leases())).toEqual([`net/${made.ip4}`, `net/${made.ip6}`]);
  expect(await node.rulesetText()).not.toContain(lost.call.containerId);
  await node.succeed("GC", given);
  expect([node.leases(), await node.link(made.hostVeth)]).toEqual([{}, undefined]);
});

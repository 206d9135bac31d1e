import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { environment } from "../harness/invoke.ts";
import { wire } from "./chained.ts";
import { attach, bridge, callFor, complaint, dualStack, ptp } from "./configs.ts";
import { type Call, type Namespace, Node, podwireFolder, type Verb } from "./harness.ts";
import { udp } from "./ports.ts";

describe("what a pod can make large costs podwire neither time nor memory", () => {
  /** Runs a call, which must end with that exit code, and returns the most memory it took, in kilobytes. */
  async function peakOf(node: Node, verb: Verb, call: Call, code = 0): Promise<number> {
    const plugin = join(podwireFolder(), call.plugin);
    const options = { env: environment(podwireFolder(), verb, call), input: JSON.stringify(call.config) };
    const { exitCode, stdout, stderr } = await node.run("/usr/bin/time", ["-f", "%M", plugin], options);
    if (exitCode !== code) throw new Error(stdout);
    return Number(stderr.trim().split("\n").at(-1));
  }
  const FEW_KB = 8_000;

  /** Runs `ip -batch` in the pod, with a line for each number. */
  async function flood(node: Node, pod: Namespace, count: number, line: (n: number) => string): Promise<void> {
    const file = join(node.dataDir, "batch");
    writeFileSync(file, Array.from({ length: count }, (_, n) => line(n)).join("\n"));
    await pod.must("ip", "-batch", file);
  }
  /** An address of one's own for each number. */
  const address = (n: number): string => `20.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;

  test("100,000 routes of its own: CHECK finds what it looks for, and what is missing", async () => {
    const node = await Node.create();
    const attached = await attach(node, ptp(node));
    const { pod } = attached;
    await flood(node, pod, 100_000, (n) => `route add ${address(n)}/32 dev eth0`);
    const check = { ...attached.call, config: { ...attached.call.config, prevResult: attached.result } };
    expect(await peakOf(node, "CHECK", check)).toBeLessThan(FEW_KB);
    await pod.ip("route del default");
    expect(await complaint(node, attached)).toMatch(/route 0\.0\.0\.0\/0 via 10\.9\.0\.1.*is missing/);
    expect(await peakOf(node, "CHECK", check, 1)).toBeLessThan(FEW_KB);
  });

  test("100,000 routes, also in tables of its own, and rules: CHECK and DEL of sbr, and CHECK of the plugin before it", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const { pod } = wired;
    const call = wired.call({ type: "sbr" });
    await node.succeed("ADD", call);
    const tables = [254, 100, 300];
    await flood(node, pod, 100_000, (n) => `route add ${address(n)}/32 dev eth0 table ${tables[n % 3]}`);
    await flood(node, pod, 3_000, (n) => `rule add from ${address(n)} lookup ${100 + n}`);
    const bridged = wired.call(bridge(node, { isDefaultGateway: true, ipam: dualStack(node) }));
    expect(await peakOf(node, "CHECK", call)).toBeLessThan(FEW_KB);
    expect(await peakOf(node, "CHECK", bridged)).toBeLessThan(FEW_KB);
    expect(await peakOf(node, "DEL", call)).toBeLessThan(FEW_KB);
    expect(await pod.must("ip", "rule", "show", "from", wired.ip4)).toBe("");
  });

  test("60,000 flows of IPv6 UDP: ADD and DEL with a mapping forget those of its own, in little memory", async () => {
    const node = await Node.create();
    await node.outside();
    await node.must(
      "nft",
      "add table inet track; add chain inet track out { type filter hook output priority 0; ct state new counter; }",
    );
    // a busy machine takes longer than the half minute after which a flow without an answer is forgotten
    await node.setSysctl("net/netfilter/nf_conntrack_udp_timeout", 600);
    const send = (from: string, last = ""): string => `import socket
for _ in range(3):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("${from}", 0))
    for port in range(20000, 40000): s.sendto(b"x", ("2001:db8::2", port))
${last}`;
    await node.must("python3", "-c", send("2001:db8::1", 's.sendto(b"x", ("2001:db8::1", 5353))'));
    const flows = async (): Promise<string> => node.must("conntrack", "-L", "-f", "ipv6", "-p", "udp");
    const before = (await flows()).split("\n");
    expect(before.length).toBeGreaterThan(50_000);
    expect(before.some((flow) => flow.includes("dport=5353"))).toBe(true);
    const mapped = { runtimeConfig: { portMappings: [udp(5353, 53)] }, capabilities: { portMappings: true } };
    const call = await callFor(node, bridge(node, { isDefaultGateway: true, ipam: dualStack(node), ...mapped }));
    expect(await peakOf(node, "ADD", call)).toBeLessThan(FEW_KB);
    expect(await flows()).not.toContain("dport=5353");
    const pod = call.netns as Namespace;
    await pod.must("python3", "-c", send("fd00:9::2"));
    const ofPod = async (): Promise<number> =>
      (await flows()).split("\n").filter((f) => f.includes("fd00:9::2")).length;
    expect(await ofPod()).toBeGreaterThan(50_000);
    expect(await peakOf(node, "DEL", call)).toBeLessThan(FEW_KB);
    expect(await ofPod()).toBe(0);
  });
});

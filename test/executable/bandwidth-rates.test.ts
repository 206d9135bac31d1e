import { describe, expect, test } from "vitest";
import { execa } from "execa";
import { after, podwire, theirs, wire, type Wired } from "./chained.ts";
import { type Namespace, Node, reference } from "./harness.ts";

// What the limits do to packets through the pod's link, both ways, both families, measured by iperf3. Datagrams, twice
// as many as may pass, show a limit whatever else the machine does; TCP shows that there is none.

const INGRESS = 16_000_000;
const EGRESS = 8_000_000;
const limits = { ingressRate: INGRESS, ingressBurst: 320_000, egressRate: EGRESS, egressBurst: 320_000 };
const PAYLOAD = 1200;
/** Ethernet, IP and UDP */
const HEADERS = { 4: 42, 6: 62 };

/** Bits of payload a second at the receiver, after the first second, in which the bucket and the queue fill. */
async function measure(from: Namespace, to: Namespace, [address, port]: [string, number], limit = 0): Promise<number> {
  const server = execa("nsenter", [`--net=${to.path}`, "--", "iperf3", "-s", "-1", "-p", `${port}`, "--forceflush"]);
  await new Promise((resolve) => server.stdout.once("data", resolve));
  const datagrams = limit > 0 ? ["-u", "-b", `${2 * limit}`, "-l", `${PAYLOAD}`] : [];
  const client = await from.must("iperf3", "-c", address, "-p", `${port}`, "-O", "1", "-t", "2", "-J", ...datagrams);
  await server;
  const { end } = JSON.parse(client) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second;
}

/** Both directions at once: to the pod from the node, and back. */
async function rates({ node, pod, ip4, ip6 }: Wired, family: 4 | 6): Promise<{ ingress: number; egress: number }> {
  const [inside, outside] = family === 4 ? [ip4, "10.9.0.1"] : [ip6, "fd00:9::1"];
  const [ingress, egress] = await Promise.all([
    measure(node, pod, [inside, 5201], INGRESS),
    measure(pod, node, [outside, 5202], EGRESS),
  ]);
  return { ingress: ingress / payloadOf(family), egress: egress / payloadOf(family) };
}

/** The share of what is limited that is payload. */
const payloadOf = (family: 4 | 6): number => PAYLOAD / (PAYLOAD + HEADERS[family]);
const within = (rate: number): object => expect.toSatisfy((seen: number) => Math.abs(seen / rate - 1) <= 0.1);

describe("what a pod receives and sends keeps to its limits, within a tenth", () => {
  test.each([4, 6] as const)("IPv%d", async (family) => {
    const node = await Node.create();
    const wired = await wire(node);
    await node.succeed("ADD", wired.call({ type: "bandwidth", ...limits }));
    expect(await rates(wired, family)).toEqual({ ingress: within(INGRESS), egress: within(EGRESS) });
  });

  test("one direction alone leaves the other free, and after DEL both are", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const config = { type: "bandwidth", egressRate: EGRESS, egressBurst: 320_000 };
    await node.succeed("ADD", wired.call(config));
    const sent = async (limit = 0): Promise<number> => measure(wired.pod, node, ["10.9.0.1", 5201], limit);
    expect(await sent(EGRESS)).toEqual(within(EGRESS * payloadOf(4)));
    expect(await measure(node, wired.pod, [wired.ip4, 5201])).toBeGreaterThan(10 * INGRESS);
    await node.succeed("DEL", wired.call(config));
    expect(await sent()).toBeGreaterThan(10 * EGRESS);
  });

  const changeover = [
    ["the reference's by podwire", theirs, podwire],
    ["podwire's by the reference", podwire, theirs],
  ] as const;
  test.runIf(reference.newest).each(changeover)("under a running pod: %s", async (_what, make, remove) => {
    const node = await Node.create();
    const wired = await wire(node, { by: make });
    const call = wired.call({ type: "bandwidth", ingressRate: INGRESS, ingressBurst: 320_000 });
    const { result } = await make(node, "ADD", call);
    expect(await measure(node, wired.pod, [wired.ip4, 5201], INGRESS)).toEqual(within(INGRESS * payloadOf(4)));
    const later = after(call, result);
    for (const verb of ["CHECK", "DEL"] as const) expect((await remove(node, verb, later)).stdout).toBe("");
    expect(await wired.pod.ping("10.9.0.1")).toBe(true);
  });
});

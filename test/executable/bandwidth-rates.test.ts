import { describe, expect, test } from "vitest";
import { after, podwire, theirs, wire, type Wired } from "./chained.ts";
import { Node, reference } from "./harness.ts";
import { measure, payloadOf, within } from "./rates.ts";

// What the limits do to packets through the pod's link, both ways, both families, measured by iperf3.

const INGRESS = 16_000_000;
const EGRESS = 8_000_000;
const limits = { ingressRate: INGRESS, ingressBurst: 320_000, egressRate: EGRESS, egressBurst: 320_000 };

/** Both directions at once: to the pod from the node, and back. */
async function rates({ node, pod, ip4, ip6 }: Wired, family: 4 | 6): Promise<{ ingress: number; egress: number }> {
  const [inside, outside] = family === 4 ? [ip4, "10.9.0.1"] : [ip6, "fd00:9::1"];
  const [ingress, egress] = await Promise.all([
    measure(node, pod, [inside, 5201], INGRESS),
    measure(pod, node, [outside, 5202], EGRESS),
  ]);
  return { ingress: ingress / payloadOf(family), egress: egress / payloadOf(family) };
}

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

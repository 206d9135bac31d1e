import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, complaint, type Config, describeAttached, macvlan, ptp, tap } from "./configs.ts";
import { type CniResult, Node, reference } from "./harness.ts";

// CHECK of the plugin that made the pod's link, where tuning behind it gave that another MTU: results have none before
// 1.1.0, and the reference's tuning never says so.

const makes: [string, (node: Node, more: object) => Config][] = [
  ["bridge", bridge],
  ["ptp", ptp],
  ["macvlan", macvlan],
  ["tap", tap],
];
const makers = ["podwire", ...(reference.newest ? ["reference"] : [])] as ("podwire" | "reference")[];

describe.each(makes)("an MTU given to the link of %s by tuning", (_type, make) => {
  test.each(makers)("of %s is what CHECK expects, and no other", async (maker) => {
    const node = await Node.create();
    await node.outside();
    for (const cniVersion of ["0.4.0", "1.0.0", "1.1.0"]) {
      for (const more of [{}, { mtu: 1500 }]) {
        const { call, result } = await attach(node, make(node, { cniVersion, ...more }));
        const config = { cniVersion, name: "net", type: "tuning", mtu: 1400, prevResult: result };
        const tuned = await node[maker]("ADD", { ...call, plugin: "tuning", config });
        const attached = describeAttached(call, tuned.result!);
        expect(await complaint(node, attached)).toBe("");
        const tuning = { ...attached, call: { ...call, plugin: "tuning", config } };
        await attached.pod.ip("link set eth0 mtu 1300");
        expect((await complaint(node, tuning)).toLowerCase()).toMatch(/mtu.*1300/);
        await node[maker]("DEL", { ...call, plugin: "tuning", config });
        const untuned = { ...attached, result };
        expect(await complaint(node, untuned)).toBe("");
        await attached.pod.ip("link set eth0 mtu 1300");
        if (!("mtu" in more)) continue;
        expect(await complaint(node, untuned)).toMatch(/eth0 in the container has MTU 1300, not 1500/);
      }
    }
  });
});

test.runIf(reference.newest).each(makes)(
  "the reference's link of %s with the MTU of its tuning passes CHECK",
  async (_type, make) => {
    const node = await Node.create();
    await node.outside();
    for (const cniVersion of ["0.4.0", "1.0.0", "1.1.0"]) {
      const call = await callFor(node, make(node, { cniVersion, mtu: 1500 }));
      const made = (await node.reference("ADD", call)).result!;
      const config = { cniVersion, name: "net", type: "tuning", mtu: 1400, prevResult: made };
      const result: CniResult = (await node.reference("ADD", { ...call, plugin: "tuning", config })).result!;
      expect(await complaint(node, describeAttached(call, result))).toBe("");
    }
  },
);

import { describe, expect, test } from "vitest";
import { bridge, type Config, dualStack } from "../executable/configs.ts";
import type { Node } from "../executable/harness.ts";
import { failEverywhere } from "../fault/failing.ts";
import { killAt, killEverywhere } from "../fault/killing.ts";
import { add, del, record, type Scenario, setUp, stateOf } from "../fault/scenarios.ts";
import { changes, type SystemCall } from "../fault/strace.ts";

// What test/fault does to plugins this machine's kernel may lack the links of. Where files are concerned they are as
// macvlan, which is disturbed there: here it is what they send the kernel.

const sends = (call: SystemCall): boolean => call.name === "sendto" && changes(call);

const linkScenario = (type: string, own: (containerId?: string) => object): Scenario => ({
  name: type,
  prepare: async (node) => void (await node.outside()),
  config: (node, containerId) => ({
    cniVersion: "1.1.0",
    name: "net",
    type,
    ...own(containerId),
    ipam: dualStack(node, { routes: [{ dst: "10.77.0.0/16", gw: "10.9.0.1" }] }),
  }),
});

const links = [
  linkScenario("ipvlan", () => ({ master: "uplink", mode: "l2" })),
  // a VLAN of a master is one pod's
  linkScenario("vlan", (containerId) => ({ master: "uplink", vlanId: containerId === "lives" ? 100 : 101 })),
  linkScenario("dummy", () => ({})),
].map((scenario) => [scenario.name, scenario] as const);

const network = (node: Node): Config =>
  bridge(node, { isGateway: true, ipam: dualStack(node, { routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] }) });
const vrf: Scenario = {
  name: "vrf after bridge",
  inPod: true,
  before: network,
  config: () => ({ cniVersion: "1.1.0", name: "net", type: "vrf", vrfname: "blue" }),
};

describe.each(links)("%s", (_type, scenario) => {
  test("ADD killed as it sends a change: DEL and GC, by turns, leave nothing", async () => {
    expect(await killEverywhere(scenario, "ADD", { which: sends, byTurns: true })).toBe("");
  });
  test("where what ADD sends is refused, nothing is left", async () => {
    expect(await failEverywhere(scenario, "ADD", sends)).toBe("");
  });
});

describe("vrf", () => {
  test("an ADD that fails leaves the interface where it was, with all it had", async () => {
    expect(await failEverywhere(vrf, "ADD", sends)).toBe("");
  });

  test.each(["ADD", "DEL"] as const)(
    "killed as it sends a change, %s: the chain's DELs leave nothing",
    async (verb) => {
      const points = (await record(vrf, verb)).filter(sends);
      expect(points.length).toBeGreaterThan(2);
      const stage = await setUp(vrf);
      const { node, call } = stage;
      const first = { ...call, plugin: "bridge", config: network(node) };
      await node.succeed("DEL", first);
      const before = await stateOf(stage);
      for (const point of points) {
        const { result } = await node.succeed("ADD", first);
        stage.call = { ...call, config: { ...call.config, prevResult: result } };
        if (verb === "DEL") await add(stage);
        await killAt(stage, verb, point);
        await del(stage);
        await node.succeed("DEL", first);
        expect(await stateOf(stage), `killed at ${point.text}`).toEqual(before);
      }
    },
  );
});

import { afterAll, describe, expect, test } from "vitest";
import { dhcp } from "./dhcp.ts";
import { scenarios } from "./scenarios.ts";
import { addDuringAdd, addDuringCollect, removeDuringAdd, stopping } from "./stopping.ts";

afterAll(() =>
  console.log(
    `ADDs with a GC or DEL in between: ${stopping.adds}, of which ${stopping.failures} failed; ` +
      `the reverse: ${stopping.gcs}; with another ADD: ${stopping.seconds}`,
  ),
);

const { bridge, iptables, ptp, macvlan, static: addresses, hostDevice, tap, hostLocal, flannel } = scenarios;
const { bandwidth, tuning } = scenarios;
const named = (some: (typeof bridge)[]) => some.map((scenario) => [scenario.name, scenario] as const);

// What portmap and firewall have in nftables alone has no end of its own to notice it by. A GC of the whole list takes
// the link first, and that is noticed: test/executable/gc-status.test.ts.
describe("at any change of an ADD: the ADD is whole, or fails with code 11 and leaves nothing", () => {
  const all = [bridge, iptables, ptp, macvlan, addresses, hostDevice, tap, hostLocal, flannel, bandwidth, tuning, dhcp];
  test.each(named(all))("a GC that does not know of it: %s", async (_name, scenario) =>
    expect(await removeDuringAdd(scenario, "GC")).toBe(""),
  );
  test.each(named(all))("a DEL of the same attachment, whose runtime gave up: %s", async (_name, scenario) =>
    expect(await removeDuringAdd(scenario, "DEL")).toBe(""),
  );

  test("some of these ADDs fail, and some do not", () => {
    expect(stopping.failures).toBeGreaterThan(stopping.adds / 10);
    expect(stopping.failures).toBeLessThan(stopping.adds);
  });
});

// Of the others a node can have one pod alone
describe("an ADD at any change of a GC is left whole by it", () => {
  test.each(named([bridge, iptables, ptp, macvlan, tap, hostLocal, flannel, dhcp]))("%s", async (_name, scenario) =>
    expect(await addDuringCollect(scenario)).toBe(""),
  );
});

// A second ADD of portmap, firewall and tuning writes the same once more
describe("two ADDs of one attachment at one time: one is whole, the other fails", () => {
  const single = [bridge, iptables, ptp, macvlan, addresses, hostDevice, tap, hostLocal, flannel, bandwidth, dhcp];
  test.each(named(single))("%s", async (_name, scenario) => expect(await addDuringAdd(scenario)).toBe(""));
});

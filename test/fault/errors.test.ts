import { afterAll, describe, expect, test } from "vitest";
import { dhcp } from "./dhcp.ts";
import { failEverywhere, injections } from "./failing.ts";
import { scenarios } from "./scenarios.ts";

afterAll(() => console.log(`calls made to fail: ${injections.calls}; verbs that failed of it: ${injections.verbs}`));

// The link-local mode makes the same calls as ptp
const named = [
  scenarios.bridge,
  scenarios.ptp,
  scenarios.macvlan,
  scenarios.static,
  scenarios.hostDevice,
  scenarios.tap,
  scenarios.hostLocal,
  scenarios.portmap,
  scenarios.firewall,
  scenarios.flannel,
  scenarios.sbr,
  scenarios.bandwidth,
  scenarios.tuning,
  dhcp,
].map((scenario) => [scenario.name, scenario] as const);

const collected = named.filter(([, { inPod }]) => !inPod);

describe("whatever call on a file, a device or a netlink socket fails", () => {
  test.each(named)("an ADD that fails leaves nothing: %s", async (_name, scenario) =>
    expect(await failEverywhere(scenario, "ADD")).toBe(""),
  );
  test.each(named)("a DEL that fails succeeds when repeated: %s", async (_name, scenario) =>
    expect(await failEverywhere(scenario, "DEL")).toBe(""),
  );
  test.each(collected)("a GC that fails succeeds when repeated: %s", async (_name, scenario) =>
    expect(await failEverywhere(scenario, "GC")).toBe(""),
  );
});

import { describe, expect, test } from "vitest";
import { findPart, type PortVlans } from "../../../src/attachment/attachment.ts";
import { type BridgeConfig, bridgeOf, lease, part, prefix } from "./plans.ts";

// What becomes of it on a kernel that filters VLANs is tested in test/uml/bridge-vlan.test.ts.

describe("VLANs of a port", () => {
  test.each<[string, Partial<BridgeConfig>, PortVlans | undefined]>([
    ["none", {}, undefined],
    ["an empty trunk", { vlanTrunk: [] }, undefined],
    ["vlan 100", { vlan: 100 }, { dropDefault: true, untagged: 100, tagged: [] }],
    [
      "vlan 4094 beside the default one",
      { vlan: 4094, preserveDefaultVlan: true },
      { dropDefault: false, untagged: 4094, tagged: [] },
    ],
    [
      "a trunk, sorted, each once, with VLAN 1 untagged",
      { vlanTrunk: [{ id: 300 }, { minID: 20, maxID: 22 }, { id: 21 }] },
      { dropDefault: true, untagged: 1, tagged: [20, 21, 22, 300] },
    ],
    [
      "a trunk and a VLAN",
      { vlan: 100, vlanTrunk: [{ id: 10, minID: 5, maxID: 5 }] },
      { dropDefault: true, untagged: 100, tagged: [5, 10] },
    ],
  ])("%s", (_what, config, expected) => {
    expect(part(bridgeOf(config, lease([])), "veth").plug!.vlans).toEqual(expected);
  });
});

describe("VLANs of a bridge", () => {
  test.each<[string, Partial<BridgeConfig>, boolean]>([
    ["neither key", {}, false],
    ["vlan", { vlan: 100 }, true],
    ["an empty trunk counts", { vlanTrunk: [] }, true],
  ])("filtering with %s: %#", (_what, config, filtering) => {
    expect(part(bridgeOf(config, lease([])), "bridge")).toMatchObject({ vlanFiltering: filtering });
  });

  test("a gateway in a VLAN sits on <bridge>.<vlan>, whose port has the same VLANs", () => {
    const plan = bridgeOf({ vlan: 100, isGateway: true }, lease([["10.9.0.2/24", "10.9.0.1"]]));
    const { vlanInterface, addresses } = part(plan, "gateways");
    expect(vlanInterface).toMatchObject({ name: "cni0.100", vlans: { dropDefault: true, untagged: 100, tagged: [] } });
    expect(part(plan, "veth").plug!.vlans).toEqual(vlanInterface!.vlans);
    expect(addresses).toEqual([prefix("10.9.0.1/24")]);
  });

  test("without a gateway or without addresses there is none", () => {
    const plans = [
      bridgeOf({ vlan: 100 }, lease([["10.9.0.2/24", ""]])),
      bridgeOf({ vlan: 100, isGateway: true }, lease([])),
    ];
    expect(plans.map((plan) => findPart(plan.attachment.parts, "gateways"))).toEqual([undefined, undefined]);
  });
});

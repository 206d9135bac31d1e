import { describe, expect, test } from "vitest";
import { vlanMessages } from "../../../src/attachment/link/port.ts";
import { findPart } from "../../../src/attachment/attachment.ts";
import type { Message } from "../../../src/netlink/message.ts";
import { createBridge } from "../../../src/netlink/rtnetlink/link.ts";
import { type BridgeConfig, bridgeOf, lease, part, prefix } from "./plans.ts";

/*
 * The kernel these tests were first run on has no VLAN filtering of bridges (CONFIG_BRIDGE_VLAN_FILTERING), so what is
 * sent is compared byte for byte with messages put together by hand from the kernel's headers (linux/rtnetlink.h,
 * linux/if_link.h, linux/if_bridge.h), all numbers little-endian. Where a kernel has it, the effect on packets is tested
 * in test/executable/bridge-ports.test.ts.
 */
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_SETLINK = 19;

const hex = (text: string): string => text.replaceAll(/\s+/g, "");
const sent = ({ type, data }: Message): [number, string] => [type, Buffer.concat(data).toString("hex")];

// struct ifinfomsg: AF_BRIDGE (7), pad, type; index 7; flags; change
const port7 = "07 00 00 00  07 00 00 00  00 00 00 00  00 00 00 00";
// IFLA_AF_SPEC (26) with NLA_F_NESTED, 12 bytes; in it IFLA_BRIDGE_VLAN_INFO (2), 8 bytes: u16 flags, u16 vid
const setVlan = (flags: string, vid: string): [number, string] => [
  RTM_SETLINK,
  hex(`${port7}  0c 00 1a 80  08 00 02 00 ${flags} ${vid}`),
];
const tagged = (vid: string): [number, string] => setVlan("00 00", vid);
// BRIDGE_VLAN_INFO_PVID (2) and BRIDGE_VLAN_INFO_UNTAGGED (4)
const untagged = (vid: string): [number, string] => setVlan("06 00", vid);
// BRIDGE_VLAN_INFO_RANGE_BEGIN (8) with 1, BRIDGE_VLAN_INFO_RANGE_END (16) with 4094
const everyVlanGone: [number, string] = [
  RTM_DELLINK,
  hex(`${port7}  14 00 1a 80  08 00 02 00 08 00 01 00  08 00 02 00 10 00 fe 0f`),
];

/** What is sent for the port of a configuration, "" where it has no VLANs. */
function messagesFor(config: Partial<BridgeConfig>): [number, string][] {
  const { vlans } = part(bridgeOf(config, lease([])), "veth").plug!;
  return vlans ? vlanMessages({ index: 7, name: "veth1" }, vlans).map(sent) : [];
}

describe("VLANs of a port, byte for byte", () => {
  test.each<[string, Partial<BridgeConfig>, [number, string][]]>([
    ["none", {}, []],
    ["an empty trunk", { vlanTrunk: [] }, []],
    ["vlan 100", { vlan: 100 }, [everyVlanGone, untagged("64 00")]],
    ["vlan 4094 beside the default one", { vlan: 4094, preserveDefaultVlan: true }, [untagged("fe 0f")]],
    [
      "a trunk, sorted, each once, with VLAN 1 untagged",
      { vlanTrunk: [{ id: 300 }, { minID: 20, maxID: 22 }, { id: 21 }] },
      [everyVlanGone, tagged("14 00"), tagged("15 00"), tagged("16 00"), tagged("2c 01"), untagged("01 00")],
    ],
    [
      "a trunk and a VLAN",
      { vlan: 100, vlanTrunk: [{ id: 10, minID: 5, maxID: 5 }] },
      [everyVlanGone, tagged("05 00"), tagged("0a 00"), untagged("64 00")],
    ],
  ])("%s", (_what, config, expected) => {
    expect(messagesFor(config)).toEqual(expected);
  });

  test("a bridge is made with VLAN filtering on", () => {
    const { type, data } = createBridge({ name: "br0", mac: "02:00:00:00:00:03", vlanFiltering: true });
    const attributes = [
      "08 00 03 00  62 72 30 00", // IFLA_IFNAME (3) "br0"
      "0a 00 01 00  02 00 00 00 00 03 00 00", // IFLA_ADDRESS (1), padded
      "1c 00 12 80", // IFLA_LINKINFO (18), nested
      "0b 00 01 00  62 72 69 64 67 65 00 00", // IFLA_INFO_KIND (1) "bridge", padded
      "0c 00 02 80  05 00 07 00  01 00 00 00", // IFLA_INFO_DATA (2), nested: IFLA_BR_VLAN_FILTERING (7) = 1
    ];
    expect([type, Buffer.concat(data).toString("hex")]).toEqual([
      RTM_NEWLINK,
      "00".repeat(16) + hex(attributes.join("")),
    ]);
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

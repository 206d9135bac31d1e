import type { FilterPart, Owner, PortsPart } from "../../../src/attachment/attachment.ts";
import { filterRuleset, isolationRuleset } from "../../../src/attachment/firewall/filter.ts";
import { masqueradeRuleset } from "../../../src/attachment/firewall/masquerade.ts";
import { portMappingRuleset } from "../../../src/attachment/ports/maps.ts";
import { spoofCheckRuleset } from "../../../src/attachment/firewall/spoof-check.ts";
import type { Ruleset } from "../../../src/kernel/nftables/ruleset.ts";
import { parsePrefix } from "../../../src/net/ip.ts";

const owner: Owner = { network: "net", containerId: "c1", ifname: "eth0" };
const addresses = ["10.244.0.5/20", "fd00:10:244::5/61"].map((text) => parsePrefix(text)!);
const ports: PortsPart = {
  kind: "ports",
  backend: "nftables",
  mappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
  addresses,
  snat: true,
  masqAll: false,
  markMasqBit: 13,
  conditions: { 4: [], 6: [] },
};

const filter: FilterPart = {
  kind: "filter",
  addresses: addresses.map(({ ip }) => ip),
  adminChain: "CNI-ADMIN",
  zone: "trusted",
  policy: "isolated",
  bridge: "br0",
};

/** One of each rule podwire writes. */
export const everyRuleset: Ruleset[] = [
  masqueradeRuleset(owner, addresses),
  masqueradeRuleset(owner, [parsePrefix("10.0.0.5/24")!]),
  spoofCheckRuleset(owner, "veth1", "02:00:00:00:00:01"),
  portMappingRuleset(ports, "net c1 eth0 veth1"),
  filterRuleset(owner, filter),
  isolationRuleset(owner, "veth1"),
  portMappingRuleset({ ...ports, masqAll: true, markMasqBit: 31 }, "net c1 eth0 veth1"),
];

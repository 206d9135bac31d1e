import { type Config, hostLocal } from "../executable/configs.ts";
import type { Node, Outside } from "../executable/harness.ts";
import { network } from "../executable/uplink.ts";

/** A node whose link `uplink` is on a network with a machine outside, which is in VLAN 100 of it, too. */
export async function vlanNetwork(): Promise<{ node: Node; outside: Outside }> {
  const { node, outside } = await network();
  await outside.ip("link add link eth0 name eth0.100 up type vlan id 100");
  await outside.ip("address add 10.8.0.254/24 dev eth0.100");
  return { node, outside };
}

export const config = (node: Node, type: string, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type,
  ...(type === "dummy" ? {} : { master: "uplink" }),
  ...(type === "vlan" ? { vlanId: 100, ipam: hostLocal(node, { subnet: "10.8.0.0/24" }) } : { ipam: hostLocal(node) }),
  ...more,
});

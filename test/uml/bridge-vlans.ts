import { type Attached } from "../executable/configs.ts";
import type { Node } from "../executable/harness.ts";

/** The VLANs of a link as `bridge vlan` lists them, ranges joined: "20-22", "100 PVID Egress Untagged". */
export async function vlans(node: Node, link: string): Promise<string[]> {
  const text = await node.must("bridge", "-j", "-compressvlans", "vlan", "show", "dev", link);
  const [port] = JSON.parse(text || "[]") as { vlans: { vlan: number; vlanEnd?: number; flags?: string[] }[] }[];
  return (port?.vlans ?? []).map(({ vlan, vlanEnd, flags = [] }) =>
    [vlanEnd ? `${vlan}-${vlanEnd}` : vlan, ...flags].join(" "),
  );
}
export const vlan = async (node: Node, line: string): Promise<string> =>
  node.must("bridge", "vlan", ...line.split(" "));
/** Everything of the node, VLANs of its links included. */
export const everything = async (node: Node): Promise<object> => ({
  ...(await node.snapshot()),
  vlans: await node.must("bridge", "vlan", "show"),
});
/**
 * True when a broadcast of `from` to the address of `to` arrives there: who asks for it is in its table of neighbours.
 */
export async function hears(to: Attached, from: Attached): Promise<boolean> {
  await from.pod.ping(to.ip4, { timeoutS: 1 });
  const neighbours = await to.pod.ipJson<{ dst: string; lladdr?: string }[]>("neigh show dev eth0");
  return neighbours.some(({ dst, lladdr }) => dst === from.ip4 && lladdr === from.mac);
}
/** The port of the bridge that the VLAN interface br0.100 is the other end of. */
export const vlanPort = async (node: Node): Promise<string> =>
  (await node.links()).find(({ ifalias }) => ifalias === "podwire: VLAN port of br0.100")!.ifname;

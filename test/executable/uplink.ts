import { Node, type Outside } from "./harness.ts";

/** A node whose link `uplink` is on a network with a machine outside, which has 10.9.0.254 and fd00:9::fe. */
export async function network(): Promise<{ node: Node; outside: Outside }> {
  const node = await Node.create();
  const outside = await node.outside();
  await outside.ip("address add 10.9.0.254/24 dev eth0");
  await outside.ip("address add fd00:9::fe/64 dev eth0 nodad");
  return { node, outside };
}

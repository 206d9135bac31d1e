import { Node, type Outside } from "./harness.ts";

/** A node whose link `uplink` is on a network with a machine outside, which has 10.9.0.254 and fd00:9::fe. */
export async function network(): Promise<{ node: Node; outside: Outside }> {
  const node = await Node.create();
  const outside = await node.outside();
  await outside.ip("address add 10.9.0.254/24 dev eth0");
  await outside.ip("address add fd00:9::fe/64 dev eth0 nodad");
  return { node, outside };
}

/** A node with a link `lan`, up, that has 192.168.77.1 and fd77::1, and routes as given (`ip` without its first word). */
export async function nodeOnLan(...routes: string[]): Promise<Node> {
  const node = await Node.create();
  for (const line of [
    "link add name lan type veth peer name far",
    "link set far up",
    "link set lan up",
    "address add 192.168.77.1/24 dev lan",
    "address add fd77::1/64 dev lan nodad",
    ...routes,
  ]) {
    await node.ip(line);
  }
  return node;
}

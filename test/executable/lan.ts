import { type Namespace, Node } from "./harness.ts";

export const MAC = "02:00:00:00:00:aa";

/** A node with a device `lan0`, up, on a network with another machine. */
export async function network(): Promise<{ node: Node; far: Namespace }> {
  const node = await Node.create();
  const far = await node.pod({ up: true });
  await node.ip(`link add lan0 address ${MAC} type veth peer name far netns ${far.name}`);
  await node.ip("link set lan0 up");
  await far.ip("link set far up");
  await far.ip("address add 10.9.0.1/24 dev far");
  await far.ip("address add fd00:9::1/64 dev far nodad");
  return { node, far };
}

/** What links a namespace has. */
export const names = async (of: Namespace): Promise<string[]> => (await of.links()).map(({ ifname }) => ifname).sort();

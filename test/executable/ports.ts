import { type Namespace, Node, type Outside } from "./harness.ts";

/** A port mapping as a runtime gives it. */
export interface Mapping {
  hostPort: number;
  containerPort: number;
  protocol: string;
  hostIP?: string;
}

const by =
  (protocol: string) =>
  (hostPort: number, containerPort: number, hostIP?: string): Mapping => ({
    hostPort,
    containerPort,
    protocol,
    ...(hostIP && { hostIP }),
  });
export const tcp = by("tcp");
export const udp = by("udp");

/** Who answered and whom it saw, or why nobody did. */
export const reach = async (
  from: Namespace,
  address: string,
  port: number,
  options: { protocol?: "tcp" | "udp"; timeoutMs?: number } = {},
): Promise<string> =>
  from.connect(address, port, options).then(
    ({ server, from: seen }) => `${server} saw ${seen}`,
    (error: Error) => error.message,
  );

/** A node with an outside that finds its way to the pods, so that a source address can be told from the node's. */
export async function nodeWithOutside(): Promise<{ node: Node; outside: Outside }> {
  const node = await Node.create();
  // a router asks for a neighbour from its link-local address, which duplicate address detection would keep back for a
  // second
  await node.setSysctl("net/ipv6/conf/default/accept_dad", 0);
  const outside = await node.outside();
  await outside.ip("route add 10.9.0.0/24 via 192.0.2.1");
  await outside.ip("route add fd00:9::/64 via 2001:db8::1");
  return { node, outside };
}

/** Every translation of the node: nftables, and table nat of both families without packet counts and times. */
export async function translations(node: Node): Promise<string> {
  const saved = await Promise.all(
    ["iptables-save", "ip6tables-save"].map(async (tool) => node.must(tool, "-t", "nat")),
  );
  const lines = saved.flatMap((text) => text.split("\n")).filter((line) => /^(-A|:CNI)/.test(line));
  const tables = await Promise.all(
    ["inet podwire", "ip cni_hostport", "ip6 cni_hostport"].map(
      async (table) => (await node.run("nft", ["--stateless", "list", "table", ...table.split(" ")])).stdout,
    ),
  );
  return [...lines, ...tables].join("\n");
}

/** Docker's policy, and who else drops what nobody has accepted. */
export async function dropForwarded(node: Node): Promise<void> {
  for (const tool of ["iptables", "ip6tables"]) await node.must(tool, "-P", "FORWARD", "DROP");
}

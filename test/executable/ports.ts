import type { Namespace, Node } from "./harness.ts";

/** A port mapping as a runtime gives it. */
export interface Mapping {
  hostPort: number;
  containerPort: number;
  protocol: string;
  hostIP?: string;
}

export const tcp = (hostPort: number, containerPort: number, hostIP?: string): Mapping => ({ hostPort, containerPort, protocol: "tcp", ...(hostIP && { hostIP }) });
export const udp = (hostPort: number, containerPort: number): Mapping => ({ hostPort, containerPort, protocol: "udp" });

/** Who answered and whom it saw, or why nobody did. */
export const reach = async (from: Namespace, address: string, port: number, options: { protocol?: "tcp" | "udp"; timeoutMs?: number } = {}): Promise<string> =>
  from.connect(address, port, { timeoutMs: 8000, ...options }).then(
    ({ server, from: seen }) => `${server} saw ${seen}`,
    (error: Error) => error.message,
  );

/** Every translation of the node: nftables, and table nat of both families without packet counts and times. */
export async function translations(node: Node): Promise<string> {
  const saved = await Promise.all(["iptables-save", "ip6tables-save"].map(async (tool) => node.must(tool, "-t", "nat")));
  const lines = saved.flatMap((text) => text.split("\n")).filter((line) => /^(-A|:CNI)/.test(line));
  const tables = await Promise.all(["inet podwire", "ip cni_hostport", "ip6 cni_hostport"].map(async (table) => (await node.run("nft", ["--stateless", "list", "table", ...table.split(" ")])).stdout));
  return [...lines, ...tables].join("\n");
}

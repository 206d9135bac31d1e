import { type Call, type CniResult, Node } from "./harness.ts";

// Calls of firewall for pods that no plugin has wired, and what they leave in the host's firewall.

/** A result of an earlier plugin for a pod of br0, in the shape of the version. */
export function previous(cniVersion: string, host = 5): CniResult {
  const dns = { nameservers: ["10.9.0.1"] };
  const [ip4, ip6] = [`10.9.0.${host}/24`, `fd00:9::${host}/64`];
  if (/^0\.[12]/.test(cniVersion)) return { cniVersion, ip4: { ip: ip4 }, ip6: { ip: ip6 }, dns };
  const version = (family: string) => (cniVersion.startsWith("0.") ? { version: family } : {});
  return {
    cniVersion,
    interfaces: [{ name: "br0" }, { name: "veth0" }, { name: "eth0", sandbox: "/run/netns/pod" }],
    ips: [
      { ...version("4"), interface: 2, address: ip4 },
      { ...version("6"), interface: 2, address: ip6 },
    ],
    dns,
  };
}

/** A call of firewall for such a pod. */
export const call = (more: object = {}, cniVersion = "1.1.0", host = 5) => ({
  plugin: "firewall",
  containerId: `pod-${host}`,
  netns: "/run/netns/pod",
  config: { cniVersion, name: "net", type: "firewall", prevResult: previous(cniVersion, host), ...more },
});
/** The same as a runtime that remembers nothing asks for. */
export const withoutPrevious = (given: ReturnType<typeof call>, more: object = {}): Call => ({
  ...given,
  netns: "",
  config: { ...given.config, prevResult: undefined, ...more },
});

/** All rules there are, nftables' and iptables' as both its tools print them. */
export async function rules(node: Node): Promise<string> {
  const saved = ["iptables-save", "ip6tables-save"].map(async (tool) => node.must(tool, "-t", "filter"));
  const lines = (await Promise.all(saved)).flatMap((text) => text.split("\n")).filter((line) => /^(-A|:)/.test(line));
  const tables = ["inet", "bridge"].map(
    async (family) => (await node.run("nft", ["list", "table", family, "podwire"])).stdout,
  );
  return [...lines.map((line) => line.replace(/ \[\d+:\d+\]/, "")), ...(await Promise.all(tables))].join("\n");
}

/** What CHECK says, "" where it is content. */
export const complaint = async (node: Node, given: Call): Promise<string> => {
  const { exitCode, error } = await node.podwire("CHECK", given);
  return exitCode === 0 ? "" : error!.msg;
};

/** A node where all that is shared by pods is there, by a pod that lives. */
export async function nodeWithPod(more: object): Promise<Node> {
  const node = await Node.create();
  await node.succeed("ADD", call(more, "1.1.0", 9));
  return node;
}

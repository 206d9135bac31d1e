import type { Answer, CniErrorText, CniResult, Node } from "./harness.ts";

// Calls of portmap for a pod that no plugin has wired, and what they leave.

export const mapping = { hostPort: 8080, containerPort: 80, protocol: "tcp" };

/** A result of an earlier plugin for a pod that has 10.9.0.5, in the shape of the version. */
export function previous(cniVersion: string): CniResult {
  const dns = { nameservers: ["10.9.0.1"] };
  if (/^0\.[12]/.test(cniVersion)) {
    return { cniVersion, ip4: { ip: "10.9.0.5/24", gateway: "10.9.0.1", routes: [{ dst: "0.0.0.0/0" }] }, dns };
  }
  const version = cniVersion.startsWith("0.") ? { version: "4" } : {};
  return {
    cniVersion,
    interfaces: [
      { name: "up0", mac: "02:00:00:00:00:01" },
      { name: "eth0", mac: "02:00:00:00:00:02", sandbox: "/run/netns/pod" },
    ],
    ips: [{ ...version, interface: 1, address: "10.9.0.5/24", gateway: "10.9.0.1" }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }],
    dns,
  };
}

export const config = (more: object = {}, cniVersion = "1.1.0") => ({
  cniVersion,
  name: "net",
  type: "portmap",
  runtimeConfig: { portMappings: [mapping] },
  prevResult: previous(cniVersion),
  ...more,
});
export const call = (more: object = {}, cniVersion = "1.1.0") => ({
  plugin: "portmap",
  containerId: "pod-1",
  netns: "/run/netns/pod",
  config: config(more, cniVersion),
});
export const message = (answer: Answer): string =>
  (answer.error as CniErrorText | undefined)?.msg ?? `exit ${answer.exitCode}`;
export const mapped = async (node: Node, set = "hostporttargets4"): Promise<string> =>
  (
    (await node.run("nft", ["list", "map", "inet", "podwire", set])).stdout.match(/elements = \{([^}]*)\}/)?.[1] ?? ""
  ).trim();

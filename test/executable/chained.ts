import { type Config, hostLocal, type More, v4, v6 } from "./configs.ts";
import type { Answer, Call, CniResult, Namespace, Node, Verb } from "./harness.ts";

/** What makes the pod's link, and what is chained behind it: podwire, or the reference. */
export type Run = (node: Node, verb: Verb, call: Call) => Promise<Answer>;
export const podwire: Run = async (node, verb, call) => node.podwire(verb, call);
export const theirs: Run = async (node, verb, call) => node.reference(verb, call);

/** A pod that another plugin has wired, and how a chained one is called for it. */
export interface Wired {
  node: Node;
  pod: Namespace;
  /** what the plugin before said */
  result: CniResult;
  hostVeth: string;
  ip4: string;
  ip6: string;
  /** the call of a chained plugin, with the result of the one before */
  call(config: object, more?: More): Call & { config: Config };
}

/** A pod with both addresses on bridge br0 of network "net", made by podwire or by the reference. */
export async function wire(
  node: Node,
  { by = podwire, version = "1.1.0", ...more }: { by?: Run; version?: string } & More = {},
): Promise<Wired> {
  const base = { containerId: "pod", ifname: "eth0", netns: await node.pod(), ...more };
  const config = {
    cniVersion: version,
    name: "net",
    type: "bridge",
    bridge: "br0",
    isDefaultGateway: true,
    ipam: hostLocal(node, { ranges: [[v4], [v6]] }),
  };
  const { result, stdout } = await by(node, "ADD", { plugin: "bridge", config, ...base });
  if (!result) throw new Error(`bridge: ${stdout}`);
  const { interfaces = [], ips = [] } = result;
  const address = (mark: string): string => ips.find((ip) => ip.address.includes(mark))!.address.replace(/\/.*/, "");
  return {
    node,
    pod: base.netns as Namespace,
    result,
    hostVeth: interfaces.find(({ name, sandbox }) => !sandbox && name.startsWith("veth"))?.name ?? "",
    ...(interfaces.length > 0 ? { ip4: address("."), ip6: address(":") } : { ip4: "", ip6: "" }),
    call: (chained, other) => {
      const own = { cniVersion: version, name: "net", prevResult: result, ...chained } as unknown as Config;
      return { plugin: own.type, config: own, ...base, ...other };
    },
  };
}

/** A call with another result before it. */
export const after = (call: Call, prevResult: unknown): Call => ({
  ...call,
  config: { ...(call.config as object), prevResult },
});

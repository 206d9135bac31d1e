import { defaultRoutes, dualStack } from "./configs.ts";
import {
  type Answer,
  type Call,
  type CniResult,
  type Namespace,
  type Node,
  type Outside,
  reference,
  runList,
  type Verb,
} from "./harness.ts";
import { type Mapping, nodeWithOutside, reach } from "./ports.ts";

export type Backend = "nftables" | "iptables";
export const backends: readonly Backend[] = ["nftables", "iptables"];

type Run = (verb: Verb, call: Call) => Promise<Answer>;

interface Pod {
  containerId: string;
  netns: Namespace;
  answer: Answer;
}

interface Wanted {
  containerId: string;
  backend: Backend;
  mappings: Mapping[];
}

/** A node and a machine outside, and what puts pods with ports on it, by podwire or by the reference. */
export interface Holding {
  node: Node;
  outside: Outside;
  podwire: Run;
  theReference: Run;
  /** wires a pod by ptp and portmap, dual stack */
  attach(run: Run, containerId: string, backend: Backend, ...mappings: Mapping[]): Promise<Pod>;
  /** the same by another main plugin */
  attachBy(main: string, run: Run, wanted: Wanted): Promise<Pod>;
  /** both families' answers on the host port, without whom they saw */
  owners(port?: number): Promise<string[]>;
}

/** A fresh one. */
export async function holding(): Promise<Holding> {
  const { node, outside } = await nodeWithOutside();
  // as on a kind node: the default route leads through a veth
  await node.ip("route add default via 192.0.2.2");
  await node.ip("route add default via 2001:db8::2");
  const podwire: Run = async (verb, call) => node.podwire(verb, call);
  const attachBy: Holding["attachBy"] = async (main, run, { containerId, backend, mappings }) => {
    const netns = await node.pod({ up: true });
    const ipam = dualStack(node, { routes: defaultRoutes });
    const key = reference.newest || run === podwire ? { backend } : {};
    const list = {
      cniVersion: "1.0.0",
      name: "net",
      plugins: [
        { type: main, isGateway: true, ipam },
        { type: "portmap", capabilities: { portMappings: true }, ...key },
      ],
    };
    return {
      containerId,
      netns,
      answer: await runList(run, "ADD", list, { containerId, netns, capabilities: { portMappings: mappings } }),
    };
  };
  return {
    node,
    outside,
    podwire,
    theReference: async (verb, call) => node.reference(verb, call),
    attachBy,
    attach: async (run, containerId, backend, ...mappings) => attachBy("ptp", run, { containerId, backend, mappings }),
    owners: async (port = 8080) =>
      Promise.all(
        [outside.node4, outside.node6].map(async (address) =>
          (await reach(outside, address, port)).replace(/ saw .*/, ""),
        ),
      ),
  };
}

/** The pod of an ADD that must have succeeded, with a server on port 80. */
export async function serving(made: Promise<Pod>): Promise<Pod & { result: CniResult }> {
  const pod = await made;
  if (!pod.answer.result) throw new Error(pod.answer.stdout);
  await pod.netns.listen(80, { name: pod.containerId });
  return { ...pod, result: pod.answer.result };
}

/** portmap alone, as after an ADD of another plugin that gave these addresses. */
export const portmap = (
  backend: Backend,
  result: CniResult,
  ...portMappings: Mapping[]
): Pick<Call, "plugin" | "config"> => ({
  plugin: "portmap",
  config: {
    cniVersion: "1.0.0",
    name: "net",
    type: "portmap",
    ...(reference.newest && { backend }),
    runtimeConfig: { portMappings },
    prevResult: result,
  },
});

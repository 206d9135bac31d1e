import { wireCached } from "../harness/cached.ts";
import type { CniResult } from "../harness/invoke.ts";
import {
  executable,
  type Namespace,
  Node,
  type NetworkList,
  type Outcome,
  type Outside,
  runList,
  temporaryFolder,
} from "./harness.ts";

const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
export const capabilities = { portMappings };
const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1";

export const list = (dataDir: string, plugin: Record<string, unknown>): NetworkList => ({
  cniVersion: "1.1.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      ipMasq: true,
      ipam: {
        type: "host-local",
        dataDir,
        ranges: [[{ subnet: "10.9.0.0/24" }], [{ subnet: "fd00:9::/64" }]],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
      },
      ...plugin,
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
});

export const makes: Record<string, Record<string, unknown>> = {
  bridge: { type: "bridge", bridge: "br0", isDefaultGateway: true, hairpinMode: true },
  "bridge by iptables": {
    type: "bridge",
    bridge: "br0",
    isDefaultGateway: true,
    ipMasqBackend: "iptables",
  },
  ptp: { type: "ptp" },
  "link-local": { type: "ptp", gatewayMode: "link-local" },
};

/** Two pods on a node, of which one has a port of the node, and a machine outside. */
export interface World {
  node: Node;
  outside: Outside;
  web: Namespace;
  other: Namespace;
  network: NetworkList;
  result: CniResult;
  /** the host's end of web's link */
  link: string;
  folder: string;
}

export async function create(make: string): Promise<World> {
  const node = await Node.create();
  const outside = await node.outside();
  const [web, other] = [await node.pod(), await node.pod()];
  const folder = temporaryFolder("results");
  const network = list(node.dataDir, makes[make]!);
  const result = await wireCached(node, network, { containerId: "web", netns: web, capabilities, args, folder });
  await wireCached(node, network, { containerId: "other", netns: other, folder });
  await web.listen(80, { name: "web" });
  await outside.listen(90, { name: "outside" });
  const link = result.interfaces!.find(({ name }) => name.startsWith("veth"))!.name;
  return { node, outside, web, other, network, result, link, folder };
}

export const repair = async ({ node, folder }: Pick<World, "node" | "folder">, ...more: string[]): Promise<Outcome> =>
  node.run(executable, ["repair", "--results-dir", folder, "--data-dir", node.dataDir, ...more], {
    env: { PATH: "/usr/sbin:/usr/bin" },
  });

const arrives = async (work: Promise<{ from: string }>, from?: string): Promise<boolean> =>
  work.then(
    (connection) => from === undefined || connection.from === from,
    () => false,
  );

/** How long is waited, in seconds: for what is to arrive, on a machine that is busy, and where nothing may. */
export const [patient, brief] = [20, 1];

/** The ways packets go. */
export const ways = {
  "node to pod": async ({ node }: World, timeoutS: number) => node.ping("10.9.0.2", { timeoutS }),
  "node to pod, IPv6": async ({ node }: World, timeoutS: number) => node.ping("fd00:9::2", { timeoutS }),
  "pod to pod": async ({ other }: World, timeoutS: number) => other.ping("10.9.0.2", { timeoutS }),
  "pod to outside, masqueraded": async ({ web, outside }: World, timeoutS: number) =>
    arrives(web.connect(outside.address4, 90, { timeoutMs: timeoutS * 1000 }), outside.node4),
  "pod to outside, masqueraded, IPv6": async ({ web, outside }: World, timeoutS: number) =>
    arrives(web.connect(outside.address6, 90, { timeoutMs: timeoutS * 1000 }), outside.node6),
  "outside to port": async ({ outside }: World, timeoutS: number) =>
    arrives(outside.connect(outside.node4, 8080, { timeoutMs: timeoutS * 1000 })),
};
export type Way = keyof typeof ways;

/** Those that are not open. */
export async function closed(world: World): Promise<string[]> {
  const open = await Promise.all(Object.values(ways).map(async (isOpen) => isOpen(world, patient)));
  return Object.keys(ways).filter((_, at) => !open[at]);
}

export const check = async ({ node, network, web, result }: World): Promise<number> => {
  const to = { containerId: "web", netns: web, capabilities, result };
  return (await runList(async (verb, call) => node.podwire(verb, call), "CHECK", network, to)).exitCode;
};

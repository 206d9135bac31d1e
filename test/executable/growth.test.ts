import { beforeAll, expect, test } from "vitest";
import { count, type Figures, onFreshNode } from "../bench/instructions.ts";
import type { CniResult, Verb } from "../harness/invoke.ts";
import type { Node } from "../harness/node.ts";

// What podwire does for a pod must not depend on how many others the node has. Instructions are counted, which a busy
// machine does not change; the kernel's own are not among them.

const verbs = ["ADD", "CHECK", "DEL", "STATUS"] as const satisfies Verb[];
const plugins = ["bridge", "ptp"];
const [few, many] = [5, 255];

type Port = [hostPort: number, protocol: string, hostIP?: string];

const config = (node: Node, type: string, ports: readonly Port[]) => ({
  cniVersion: "1.1.0",
  name: `growth-${type}`,
  type,
  isGateway: true,
  ipMasq: true,
  // the pods beside are of ptp: what is on the bridge has addresses of its own
  ipam: {
    type: "host-local",
    dataDir: node.dataDir,
    ranges:
      type === "ptp"
        ? [[{ subnet: "10.64.0.0/16" }], [{ subnet: "fd00:64::/64" }]]
        : [[{ subnet: "10.65.0.0/16" }], [{ subnet: "fd00:65::/64" }]],
  },
  capabilities: { portMappings: true },
  runtimeConfig: {
    portMappings: ports.map(([hostPort, protocol, hostIP]) => ({ hostPort, containerPort: 80, protocol, hostIP })),
  },
});

/** As kube-proxy's IPVS gives them, one for each service. */
async function addAddresses(node: Node, count: number): Promise<void> {
  const input = Array.from({ length: count }, (_, at) => `address add 10.96.${at >> 8}.${at & 255}/32 dev lo\n`).join(
    "",
  );
  expect(await node.run("ip", ["-batch", "-"], { input })).toMatchObject({ exitCode: 0 });
}

const figuresBeside = async (pods: number): Promise<Figures> =>
  onFreshNode(async (node) => {
    const figures: Figures = {};
    await addAddresses(node, pods * 4);
    const netns = await node.pod();
    for (let at = 0; at < pods; at++) {
      // each with a gateway's address on its link, and two leases, a record, two masqueraded addresses, a host port
      const port: Port = at % 2 === 0 ? [20_000 + at, "udp", "127.0.0.1"] : [20_000 + at, "tcp"];
      const about = { plugin: "ptp", containerId: `pod-${at}`, ifname: `eth${at}`, netns };
      await node.succeed("ADD", { ...about, config: config(node, "ptp", [port]) });
    }
    for (const plugin of plugins) {
      let prevResult: CniResult | undefined;
      const about = { plugin, containerId: "counted", netns: await node.pod() };
      const wanted = config(node, plugin, [
        [8080, "tcp"],
        [5353, "udp"],
      ]);
      await node.succeed("ADD", {
        ...about,
        containerId: `first-${plugin}`,
        ifname: "first",
        config: config(node, plugin, []),
      });
      for (const verb of verbs) {
        const call = { ...about, config: { ...wanted, ...(prevResult && { prevResult }) } };
        const { instructions, stdout } = await count(node, verb, call);
        if (verb === "ADD") prevResult = JSON.parse(stdout) as CniResult;
        figures[`${plugin} ${verb}`] = instructions;
      }
    }
    return figures;
  });

let alone: Figures;
let beside: Figures;
beforeAll(async () => {
  [alone, beside] = [await figuresBeside(few), await figuresBeside(many)];
});

test.each(plugins.flatMap((plugin) => verbs.map((verb) => `${plugin} ${verb}`)))(
  `%s takes as many instructions beside ${many} pods and four times as many addresses as beside ${few}`,
  (what) => {
    expect(beside[what]! / alone[what]!).toBeLessThan(1.05);
  },
);

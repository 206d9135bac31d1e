import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { shapers } from "../executable/shapers.ts";
import {
  Containerd,
  available,
  Machine,
  type Namespace,
  type NetworkList,
  Node,
  type Outside,
  runList,
} from "./harness.ts";
import { k3s, macvlan, nerdctl } from "./lists.ts";

// The chains people run, as their programs write them, in the folders they use, through containerd's CRI.

const programs = ["containerd", "ctr", "runc", "busybox", "tar"];

const SUBNET_ENV = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

/** What flanneld does beside: it says which subnet is the node's, and the network knows the way to it. */
async function flanneld(_node: Node, outside: Outside): Promise<void> {
  mkdirSync("/run/flannel", { recursive: true });
  writeFileSync("/run/flannel/subnet.env", SUBNET_ENV);
  await outside.ip(`route add 10.42.0.0/16 via ${outside.node4}`);
}

/** Docker's policy. */
async function docker(node: Node): Promise<void> {
  for (const tool of ["iptables", "ip6tables"]) await node.must(tool, "-P", "FORWARD", "DROP");
}

interface Chain {
  list: NetworkList;
  subnet: string;
  mtu: number;
  surroundings(node: Node, outside: Outside): Promise<void>;
  annotations?: Record<string, string>;
  /** qdiscs of one pod */
  shapers?: string[];
  /** sysctls of a pod */
  sysctls?: Record<string, string>;
  /** files kept of a pod, beside its lease and libcni's results, under /var/lib/cni */
  files?(id: string): string[];
}

const chains: Record<string, Chain> = {
  "k3s: flannel, portmap, bandwidth": {
    list: k3s,
    subnet: "10.42.3.",
    mtu: 1450,
    surroundings: flanneld,
    annotations: { "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M" },
    shapers: ["veth tbf 1250000 343597382", "veth ingress", "bwp tbf 2500000 536870907"],
    files: (id) => [`flannel/${id}`, `flannel/${id}:eth0:cbr0`],
  },
  "nerdctl: bridge, portmap, firewall, tuning": {
    list: nerdctl(),
    subnet: "10.4.0.",
    mtu: 1500,
    surroundings: docker,
  },
  "nerdctl, with settings of tuning": {
    list: nerdctl({ sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.somaxconn": "500" }, mtu: 1400 }),
    subnet: "10.4.0.",
    mtu: 1400,
    surroundings: docker,
    sysctls: { "net/ipv4/conf/eth0/arp_filter": "1", "net/core/somaxconn": "500" },
    files: (id) => [`/run/cni/tuning/${id}_eth0.json`],
  },
};

/** Every file that is kept of a pod. */
function files(): string[] {
  const found = ["/var/lib/cni", "/run/cni"].filter((folder) => existsSync(folder));
  const entries = found.flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }));
  return entries
    .filter((entry) => entry.isFile() && !/^(\.|lock$|last_reserved)/.test(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name).replace("/var/lib/cni/", ""))
    .sort();
}

interface Pod {
  id: string;
  ip: string;
  netns: Namespace;
  hostPort: number;
}

describe.runIf(available("containerd", programs, { root: true }))("containerd's CRI", () => {
  describe.each(Object.entries(chains))("%s", (_name, chain) => {
    let node: Node;
    let outside: Outside;
    let containerd: Containerd;
    const running: string[] = [];
    beforeAll(async () => {
      node = await Node.create();
      outside = await node.outside();
      await outside.ip("address add 198.51.100.1/24 dev eth0");
      await node.ip(`route add default via ${outside.address4}`);
      await chain.surroundings(node, outside);
      const machine = await Machine.start(node);
      await machine.install();
      machine.network(chain.list);
      containerd = await Containerd.start(machine);
    });
    afterEach(async () => removeAll());

    const { annotations = {} } = chain;
    const run = async (hostPort: number): Promise<string> => {
      const id = await containerd.run({ ports: [{ host_port: hostPort, container_port: 80 }], annotations });
      running.push(id);
      return id;
    };
    const removeAll = async (): Promise<void> => {
      for (const id of running.splice(0)) await containerd.remove(id);
    };
    const state = async (): Promise<object> => ({ ...(await node.snapshot()), files: files() });
    const start = async (hostPort: number): Promise<Pod> => {
      const id = await run(hostPort);
      const { ips, netns, state: said } = await containerd.status(id);
      expect([said, ips]).toEqual(["SANDBOX_READY", [expect.stringContaining(chain.subnet)]]);
      await netns!.listen(80, { name: id });
      return { id, ip: ips[0]!, netns: netns!, hostPort };
    };
    const works = async ({ id, ip, netns, hostPort }: Pod, neighbour: Pod): Promise<void> => {
      expect(await netns.addresses("eth0")).toEqual([`${ip}/24`]);
      expect(await netns.link("eth0")).toMatchObject({ mtu: chain.mtu });
      for (const [path, value] of Object.entries(chain.sysctls ?? {})) expect(await netns.sysctl(path)).toBe(value);
      expect([await netns.ping(neighbour.ip), await netns.ping(outside.address4)]).toEqual([true, true]);
      const connection = await outside.connect(outside.node4, hostPort);
      expect(connection).toMatchObject({ server: id, from: outside.address4, to: ip });
      // from the node, from a neighbour, and from itself: through the bridge and back
      for (const client of [node, neighbour.netns, netns]) {
        expect(await client.connect(outside.node4, hostPort)).toMatchObject({ server: id });
      }
    };

    test("pods reach each other and the outside, are reached at host ports, and leave nothing", async () => {
      await start(8079);
      await removeAll();
      const before = await state();
      const [one, two] = [await start(8080), await start(8081)];
      await works(one, two);
      await works(two, one);
      const { name } = chain.list;
      const kept = [one, two].flatMap(({ id, ip }) => [
        ...(chain.files?.(id) ?? []),
        `networks/${name}/${ip}`,
        `networks/.podwire/${name}/${id}:eth0`,
        `results/${name}-${id}-eth0`,
        `results/cni-loopback-${id}-lo`,
      ]);
      expect(files()).toEqual(kept.toSorted());
      const qdiscs = chain.shapers ?? [];
      expect(await shapers(node)).toEqual([...qdiscs, ...qdiscs].toSorted());
      await removeAll();
      expect(await state()).toEqual(before);
      await expect(outside.connect(outside.node4, 8080)).rejects.toThrow("ECONNREFUSED");
    });

    test("a sandbox has a second network, as multus adds it: by the sandbox's own id", async () => {
      const list = macvlan(node);
      const before = await start(8079).then(removeAll).then(state);
      const pod = await start(8080);
      const alone = await state();
      const to = { containerId: pod.id, netns: pod.netns, ifname: "net1" };
      const call = async (verb: "ADD" | "DEL") => runList(node.podwire.bind(node), verb, list, to);
      const { result } = await call("ADD");
      const second = result!.ips![0]!.address.replace(/\/.*/, "");
      expect([await outside.ping(second), await node.ping(pod.ip)]).toEqual([true, true]);
      expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: pod.id, to: pod.ip });
      expect(await call("DEL")).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await state()).toEqual(alone);
      expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: pod.id, to: pod.ip });
      await removeAll();
      expect(await state()).toEqual(before);
    });
  });
});

import { rmSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { dropForwarded } from "../executable/ports.ts";
import { measure, payloadOf, within } from "../executable/rates.ts";
import { Cnitool, cnitoolPath } from "./cnitool.ts";
import { k3s, nerdctl } from "../harness/lists.ts";
import { everything, flanneld, second } from "./chains.ts";
import { available, Containerd, Machine, type Namespace, type NetworkList, Node, type Outside } from "./harness.ts";

// Lists of plugins that k3s, nerdctl and multus have their nodes run, letter by letter, in the folders those use.

const done = { exitCode: 0, stdout: "", stderr: "" };
const INGRESS = 16_000_000;
const shaped = { ingressRate: INGRESS, ingressBurst: 320_000, egressRate: 8_000_000, egressBurst: 320_000 };

interface Chain {
  name: string;
  list: NetworkList;
  capabilities?: object;
  /** the host's FORWARD chain drops what nobody accepts */
  drop?: boolean;
  /** the pod's address, as a pattern */
  address: RegExp;
  gateway: string;
  /** what is to be seen of this chain in particular */
  see?(node: Node, pod: Namespace, address: string): Promise<void>;
}

const tuned = { sysctl: { "net.core.somaxconn": "321" }, mtu: 1400 };
const seeTuned = async (_node: Node, pod: Namespace): Promise<void> => {
  expect([await pod.sysctl("net/core/somaxconn"), (await pod.link("eth0"))!.mtu]).toEqual(["321", 1400]);
};
const chains: Chain[] = [
  {
    name: "k3s",
    list: k3s,
    capabilities: { bandwidth: shaped },
    address: /^10\.42\.3\./,
    gateway: "10.42.3.1",
    see: async (node, pod, address) => {
      // containerd lets some 270 megabytes pass before its limit holds: they are sent first
      await measure(node, pod, [address, 5201]);
      expect(await measure(node, pod, [address, 5202], INGRESS)).toEqual(within(INGRESS * payloadOf(4)));
      expect((await pod.link("eth0"))!.mtu).toBe(1450);
    },
  },
  { name: "nerdctl", list: nerdctl(), drop: true, address: /^10\.4\.0\./, gateway: "10.4.0.1" },
  {
    name: "nerdctl with sysctls",
    list: nerdctl(tuned),
    drop: true,
    address: /^10\.4\.0\./,
    gateway: "10.4.0.1",
    see: seeTuned,
  },
  {
    name: "nerdctl, rootless",
    list: nerdctl(tuned, { backend: "iptables" }),
    drop: true,
    address: /^10\.4\.0\./,
    gateway: "10.4.0.1",
    see: seeTuned,
  },
];

beforeEach(() => {
  for (const folder of ["/var/lib/cni", "/run/flannel"]) rmSync(folder, { recursive: true, force: true });
  flanneld();
});

const addressOf = (ip: string): string => ip.replace(/\/.*/, "");

describe.runIf(available("cnitool", [cnitoolPath]))("by cnitool", () => {
  let node: Node;
  let outside: Outside;
  let tool: Cnitool;
  beforeEach(async () => {
    node = await Node.create();
    outside = await node.outside();
    tool = new Cnitool(node);
  });
  const options = (hostPort: number, more: object = {}) => ({
    capabilities: { portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }], ...more },
  });

  test.each(chains)("$name: added, used, checked, deleted, and nothing left", async (chain) => {
    const { list, address, gateway } = chain;
    tool.network(list);
    if (chain.drop === true) await dropForwarded(node);
    // a route back: it is the policy that decides here, not the lack of a way
    await outside.ip(`route add ${gateway.replace(/\d+$/, "0/24")} via ${outside.node4}`);
    const [pod, neighbour] = [await node.pod(), await node.pod()];
    expect(await tool.run("add", list.name, neighbour, options(8081))).toMatchObject({ exitCode: 0, stderr: "" });
    const before = await everything(node);

    const given = options(8080, chain.capabilities);
    const { result, ...answer } = await tool.run("add", list.name, pod, given);
    expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
    const ip = addressOf(result!.ips![0]!.address);
    expect(ip).toMatch(address);
    expect(await pod.addresses("eth0")).toContain(`${ip}/24`);
    await pod.listen(80, { name: "pod" });
    expect(await pod.ping(gateway)).toBe(true);
    expect(await neighbour.ping(ip)).toBe(true);
    expect(await pod.ping(outside.address4)).toBe(true);
    expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: "pod", to: ip });
    expect(await pod.connect(outside.node4, 8080)).toMatchObject({ server: "pod" });
    if (chain.drop === true) expect(await outside.ping(ip, { timeoutS: 1 })).toBe(false);
    await chain.see?.(node, pod, ip);
    expect(await tool.run("check", list.name, pod, given)).toEqual(done);

    expect(await tool.run("del", list.name, pod, given)).toEqual(done);
    expect(await tool.run("del", list.name, pod, given)).toEqual(done);
    expect(await pod.link("eth0")).toBeUndefined();
    expect(await everything(node)).toEqual(before);
  });

  // multus itself runs each network of a pod so: the same container, one interface name each
  test.each([
    ["k3s", k3s],
    ["nerdctl", nerdctl()],
  ])("multus: macvlan as net1 beside %s's network as eth0, each comes and goes by itself", async (_name, first) => {
    tool.network(first);
    tool.network(second);
    await outside.ip("address add 192.168.1.1/24 dev eth0");
    const pod = await node.pod();
    const given = options(8080);
    const net1 = { ifname: "net1" };
    const other = await node.pod();
    expect(await tool.run("add", first.name, other, options(8081))).toMatchObject({ exitCode: 0 });
    // a network's folder of leases stays, once it is there
    await tool.run("add", second.name, other, net1);
    await tool.run("del", second.name, other, net1);
    const before = await everything(node);
    const main = await tool.run("add", first.name, pod, given);
    const alone = await everything(node);
    const more = await tool.run("add", second.name, pod, net1);
    expect([main, more]).toMatchObject([
      { exitCode: 0, stderr: "" },
      { exitCode: 0, stderr: "" },
    ]);
    const [ip, ip1] = [main, more].map(({ result }) => addressOf(result!.ips![0]!.address));
    await pod.listen(80, { name: "pod" });
    expect(ip1).toBe("192.168.1.201");
    expect(await outside.ping(ip1!)).toBe(true);
    expect(await other.ping(ip!)).toBe(true);
    expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: "pod", to: ip });
    expect(await tool.run("check", first.name, pod, given)).toEqual(done);

    expect(await tool.run("del", second.name, pod, net1)).toEqual(done);
    expect(await everything(node)).toEqual(alone);
    expect(await other.ping(ip!)).toBe(true);
    expect(await tool.run("add", second.name, pod, net1)).toMatchObject({ exitCode: 0 });
    expect(await tool.run("del", first.name, pod, given)).toEqual(done);
    expect((await pod.links()).map(({ ifname }) => ifname)).toEqual(["lo", "net1"]);
    expect(await outside.ping("192.168.1.202")).toBe(true);
    expect(await tool.run("del", second.name, pod, net1)).toEqual(done);
    expect(await everything(node)).toEqual(before);
  });
});

describe.runIf(available("containerd", ["containerd", "ctr", "runc", "busybox", "tar"], { root: true }))(
  "by containerd's CRI",
  () => {
    test.each(chains)("$name: a sandbox made, used, removed, and nothing left", async (chain) => {
      const node = await Node.create();
      const outside = await node.outside();
      const machine = await Machine.start(node);
      await machine.install();
      machine.network(chain.list);
      if (chain.drop === true) await dropForwarded(node);
      const containerd = await Containerd.start(machine);
      await containerd.remove(await containerd.run({ ports: [{ host_port: 8079, container_port: 79 }] }));
      const before = await everything(node);
      const id = await containerd.run({
        ports: [{ host_port: 8080, container_port: 80 }],
        annotations: { "kubernetes.io/ingress-bandwidth": "16M", "kubernetes.io/egress-bandwidth": "8M" },
      });
      const { state, ips, netns } = await containerd.status(id);
      expect(state).toBe("SANDBOX_READY");
      expect(ips[0]).toMatch(chain.address);
      await netns!.listen(80, { name: "pod" });
      expect(await netns!.ping(chain.gateway)).toBe(true);
      expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: "pod", to: ips[0] });
      if (chain.drop === true) expect(await netns!.ping(outside.address4)).toBe(true);
      await chain.see?.(node, netns!, ips[0]!);
      await netns!.stopListening();
      await containerd.remove(id);
      expect(await everything(node)).toEqual(before);
    });
  },
);

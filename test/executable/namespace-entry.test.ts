import { describe, expect, test } from "vitest";
import { environment } from "../harness/invoke.ts";
import { bridge, callFor, type Config, flannel, hostDevice, macvlan, ptp } from "./configs.ts";
import { type CniErrorText, type Namespace, Node, podwireFolder } from "./harness.ts";

// Root that has not CAP_SYS_ADMIN may not enter a pod: it hears so, by the specification's JSON, and nothing is made.

const plain = (type: string): Config => ({ cniVersion: "1.1.0", name: "net", type });
const behind = (type: string, more: object): Config => ({
  ...plain(type),
  ...more,
  prevResult: {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", sandbox: "/run/netns/pod" }],
    ips: [{ address: "10.9.0.2/24", gateway: "10.9.0.1", interface: 0 }],
  },
});

const plugins: [string, (node: Node) => Config][] = [
  ["bridge", (node) => bridge(node, { isGateway: true, ipMasq: true })],
  ["bridge without IPAM", (node) => bridge(node, { ipam: undefined })],
  ["ptp", ptp],
  ["macvlan", macvlan],
  ["macvlan without IPAM", (node) => macvlan(node, { ipam: undefined })],
  ["tap", () => plain("tap")],
  ["host-device", (node) => hostDevice(node, { device: "uplink" })],
  ["flannel", flannel],
  ["loopback", () => plain("loopback")],
  ["tuning", () => behind("tuning", { mtu: 1400 })],
  ["bandwidth", () => behind("bandwidth", { ingressRate: 8e6, ingressBurst: 8e6 })],
  ["sbr", () => behind("sbr", {})],
];

describe.each(plugins)("%s without CAP_SYS_ADMIN", (_what, config) => {
  test("ADD says what it may not, and leaves nothing", async () => {
    const node = await Node.create();
    await node.ip("link add uplink up type veth peer name far");
    const call = await callFor(node, config(node));
    const pod = call.netns as Namespace;
    const state = async () => [await node.snapshot(), await pod.links()];
    const before = await state();
    const folder = podwireFolder();
    const weak = ["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", `${folder}/${call.plugin}`];
    const input = JSON.stringify(call.config);
    const { exitCode, stdout, stderr } = await node.run("setpriv", weak, {
      env: environment(folder, "ADD", call),
      input,
    });
    expect([exitCode, stderr]).toEqual([1, ""]);
    expect(JSON.parse(stdout) as CniErrorText).toEqual({
      cniVersion: "1.1.0",
      code: 999,
      msg: `cannot enter CNI_NETNS ${JSON.stringify(pod.path)}: podwire lacks CAP_SYS_ADMIN`,
      details: "setns: operation not permitted (EPERM)",
    });
    expect(await state()).toEqual(before);
  });
});

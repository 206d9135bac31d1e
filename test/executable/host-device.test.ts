import { describe, expect, test } from "vitest";
import { attach, callFor, complaint, dualStack, failure, hostDevice, hostLocal, refusal } from "./configs.ts";
import { type IpLink, type Namespace, type Node, reference } from "./harness.ts";
import { MAC, names, network } from "./lan.ts";

const deviceOf = async (node: Node): Promise<IpLink> => (await node.link("lan0"))!;

describe("host-device", () => {
  test("moves a device into the pod under another name, with addresses, and back", async () => {
    const { node, far } = await network();
    const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
    const attached = await attach(node, hostDevice(node, { device: "lan0", ipam: dualStack(node, { routes }) }));
    const { pod, result, ip4, ip6 } = attached;
    expect(result.interfaces).toEqual([{ name: "eth0", mac: MAC, sandbox: pod.path }]);
    expect(result.ips!.map(({ interface: index }) => index)).toEqual([0, 0]);
    expect([await names(node), await names(pod)]).toEqual([["lo"], ["eth0", "lo"]]);
    expect(await pod.link("eth0")).toMatchObject({ ifalias: "lan0", address: MAC });
    for (const address of [ip4, ip6]) expect([address, await far.ping(address)]).toEqual([address, true]);
    expect(await pod.routes(4)).toContainEqual(expect.objectContaining({ dst: "default", gateway: "10.9.0.1" }));
    expect(await complaint(node, attached)).toBe("");
    for (let times = 0; times < 2; times++) await node.succeed("DEL", attached.call);
    expect([await names(node), await names(pod)]).toEqual([["lan0", "lo"], ["lo"]]);
    expect((await deviceOf(node)).ifalias).toBeUndefined();
    expect((await deviceOf(node)).flags).not.toContain("UP");
    expect(node.leases()).toEqual({});
  });

  test("an address that the node has on the device goes with it; one that another link has as well is refused", async () => {
    const { node, far } = await network();
    await node.ip("address add 10.9.0.5/24 dev lan0");
    await node.ip("address add fd00:9::5/64 dev lan0 nodad");
    const addresses = [{ address: "10.9.0.5/24", gateway: "10.9.0.1" }, { address: "fd00:9::5/64" }];
    const ipam = { type: "static", addresses, routes: [{ dst: "0.0.0.0/0" }] };
    for (const choice of [{ device: "lan0" }, { hwaddr: MAC }]) {
      const attached = await attach(node, hostDevice(node, { ...choice, ipam }));
      expect([await far.ping("10.9.0.5"), await far.ping("fd00:9::5")]).toEqual([true, true]);
      await node.succeed("DEL", attached.call);
      for (const line of ["address add 10.9.0.5/24", "link set up"]) await node.ip(`${line} dev lan0`);
    }
    await node.ip("address add 10.9.0.5/32 dev lo");
    const before = await node.snapshot();
    const error = await refusal(node, await callFor(node, hostDevice(node, { device: "lan0", ipam })));
    expect(error).toMatchObject({ code: 7, msg: expect.stringContaining("10.9.0.5, which is an address") as unknown });
    expect(await node.snapshot()).toEqual(before);
  });

  test.each<[string, object]>([
    ["hwaddr, in any spelling", { hwaddr: MAC.toUpperCase().replaceAll(":", "-") }],
    ["device before hwaddr", { device: "lan0", hwaddr: "02:00:00:00:00:bb" }],
  ])("finds it by %s; without addresses it is set up", async (_what, more) => {
    const { node } = await network();
    const attached = await attach(node, hostDevice(node, { ...more, ipam: undefined }));
    expect((await attached.pod.link("eth0"))!.flags).toContain("UP");
    expect(attached.result).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: MAC, sandbox: attached.pod.path }],
    });
    expect(await complaint(node, attached)).toBe("");
    await node.succeed("DEL", attached.call);
    expect(await names(node)).toEqual(["lan0", "lo"]);
  });

  test.each<[string, object, RegExp]>([
    ["nothing that says which", {}, /device is missing: it must be there, or "hwaddr", "kernelpath", "pciBusID"/],
    ["device", { device: "a/b" }, /device is "a\/b"/],
    ["a device that is not there", { device: "lan7" }, /device: "lan7" is no link of the host/],
    ["hwaddr", { hwaddr: "x" }, /hwaddr is "x", must be a MAC address/],
    ["a MAC no link has", { hwaddr: "02:00:00:00:00:bb" }, /hwaddr: "02:00:00:00:00:bb" is no link/],
    ["kernelpath", { kernelpath: "/sys/class/net" }, /kernelpath is .*begins with \/sys\/devices\//],
    ["kernelpath that climbs", { kernelpath: "/sys/devices/../class" }, /kernelpath is/],
    ["pciBusID", { pciBusID: "../x" }, /pciBusID is "\.\.\/x"/],
    ["a PCI device that is not there", { pciBusID: "0000:ff:1f.7" }, /pciBusID: "0000:ff:1f\.7" is not there/],
    [
      "deviceID",
      { runtimeConfig: { deviceID: "mlx5_core.sf.77" } },
      /runtimeConfig\.deviceID: "mlx5_core\.sf\.77" is not there/,
    ],
    ["a link that cannot move", { device: "lo" }, /device: link "lo" cannot be moved/],
  ])("refuses %s; nothing is changed, and DEL succeeds", async (_what, more, message) => {
    const { node } = await network();
    const before = await node.snapshot();
    const call = await callFor(node, hostDevice(node, more));
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringMatching(message) as unknown });
    expect(await node.snapshot()).toEqual(before);
    await node.succeed("DEL", call);
    expect(await node.snapshot()).toEqual(before);
  });

  test("a failed ADD brings it back, under its name, with its alias, up as it was", async () => {
    const { node } = await network();
    await node.ip("link set lan0 alias mine");
    const before = await node.snapshot();
    const ipam = hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "10.77.0.0/16", gw: "10.88.0.1" }] });
    const call = await callFor(node, hostDevice(node, { device: "lan0", ipam }));
    expect(await refusal(node, call)).toMatchObject({ code: 7 });
    expect(await names(call.netns as Namespace)).toEqual(["lo"]);
    expect(await deviceOf(node)).toMatchObject({ ifalias: "mine" });
    expect((await deviceOf(node)).flags).toContain("UP");
    expect((await node.snapshot()).leases).toEqual(before.leases);
    // so does one whose name is taken in the pod
    const pod = await node.pod();
    await pod.ip("link add eth0 type veth peer name other");
    const taken = await callFor(node, hostDevice(node, { device: "lan0" }), { netns: pod });
    expect(await refusal(node, taken)).toMatchObject({
      code: 4,
      msg: expect.stringContaining("already exists") as unknown,
    });
    expect((await deviceOf(node)).flags).toContain("UP");
    await node.succeed("DEL", taken);
    expect(await names(pod)).toEqual(["eth0", "lo", "other"]);
  });

  test("DEL without namespace finds it by its record; one that is gone, or another pod's, is left alone", async () => {
    const { node } = await network();
    const config = hostDevice(node, { device: "lan0" });
    const attached = await attach(node, config);
    const other = await callFor(node, config, { netns: attached.pod });
    await node.succeed("DEL", { ...other, config: { ...config, device: "else" } });
    expect(await names(attached.pod)).toEqual(["eth0", "lo"]);
    await attached.pod.ip("link set eth0 alias x");
    await node.succeed("DEL", { ...attached.call, netns: "" });
    expect(await names(node)).toEqual(["lan0", "lo"]);
    expect(node.leases()).toEqual({});
    const again = await attach(node, config);
    await again.pod.remove();
    await node.succeed("DEL", again.call);
    expect(node.leases()).toEqual({});
  });

  test.each<[string, string[]]>([
    ["nothing", [""]],
    ["another name", ["evil0", "lo"]],
    ["what is no name", ["a/b"]],
  ])(
    "an alias that the pod has changed to %s leads nowhere: the record says where the device goes",
    async (_what, aliases) => {
      const { node } = await network();
      const config = hostDevice(node, { hwaddr: MAC });
      for (const alias of aliases) {
        for (const remove of ["DEL", "DEL without namespace", "GC"]) {
          const { call, pod } = await attach(node, config);
          await pod.must("ip", "link", "set", "eth0", "alias", alias);
          if (remove === "GC") {
            await node.succeed("GC", { plugin: "host-device", config: { ...config, "cni.dev/valid-attachments": [] } });
          } else await node.succeed("DEL", { ...call, ...(remove !== "DEL" && { netns: "" }) });
          expect([remove, alias, await names(node)]).toEqual([remove, alias, ["lan0", "lo"]]);
          await node.ip("link set lan0 up");
        }
      }
    },
  );

  test("a name that is taken on the host meanwhile: DEL fails, says so, and works once it is free", async () => {
    const { node } = await network();
    const attached = await attach(node, hostDevice(node, { hwaddr: MAC }));
    await node.ip("link add lan0 type veth peer name other");
    const answer = await node.podwire("DEL", attached.call);
    expect(answer.error).toMatchObject({
      code: 11,
      msg: expect.stringContaining("lan0: another link has that name") as unknown,
    });
    expect((await attached.pod.link("eth0"))!.flags).toContain("UP");
    await node.ip("link delete lan0");
    await node.succeed("DEL", attached.call);
    expect(await names(node)).toEqual(["lan0", "lo"]);
  });

  test("GC brings back what attachments have that are not valid", async () => {
    const { node } = await network();
    const attached = await attach(node, hostDevice(node, { hwaddr: MAC }));
    const collect = async (valid: object[]) =>
      node.succeed("GC", {
        plugin: "host-device",
        config: { ...attached.call.config, "cni.dev/valid-attachments": valid },
      });
    await collect([{ containerID: attached.call.containerId, ifname: "eth0" }]);
    expect(await names(node)).toEqual(["lo"]);
    await collect([]);
    expect([await names(node), node.leases()]).toEqual([["lan0", "lo"], {}]);
  });

  test("GC says which one cannot come back, brings back the others, and that one when its name is free", async () => {
    const { node } = await network();
    await node.ip("link add lan1 type veth peer name far1");
    const devices = ["lan0", "lan1"];
    for (const device of devices) await attach(node, hostDevice(node, { device }));
    await node.ip("link add lan0 type bridge");
    const config = hostDevice(node, { hwaddr: MAC, "cni.dev/valid-attachments": [] });
    const collect = async () => node.podwire("GC", { plugin: "host-device", config });
    expect(failure(await collect()).msg).toMatch(/cannot go back to the host as lan0: another link has that name/);
    expect(await names(node)).toEqual(["far1", "lan0", "lan1", "lo"]);
    await node.ip("link delete lan0");
    expect((await collect()).stdout).toBe("");
    expect(await names(node)).toEqual(["far1", "lan0", "lan1", "lo"]);
  });

  test("CHECK names another MAC, a link that is down, an address and the link itself when missing", async () => {
    const { node } = await network();
    const attached = await attach(node, hostDevice(node, { device: "lan0" }));
    const { pod } = attached;
    for (const [line, message] of [
      ["address flush dev eth0", /address 10\.9\.0\.\d+\/24 is missing/],
      ["link set eth0 down", /is down/],
      ["link set eth0 address 02:00:00:00:00:cc", /MAC 02:00:00:00:00:cc, not/],
      ["link delete eth0", /eth0 does not exist/],
    ] as const) {
      await pod.ip(line);
      expect(await complaint(node, attached)).toMatch(message);
    }
  });

  const both: [string, "podwire" | "reference", "podwire" | "reference"][] = [
    ["the reference's by podwire", "reference", "podwire"],
    ["podwire's by the reference", "podwire", "reference"],
  ];
  test.each(reference.newest ? both : [])("takeover: %s", async (_what, made, removed) => {
    const { node } = await network();
    const config = hostDevice(node, { device: "lan0" });
    const call = await callFor(node, config);
    const { result, exitCode } = await node[made]("ADD", call);
    expect(exitCode).toBe(0);
    const checked = await node[removed]("CHECK", { ...call, config: { ...config, prevResult: result } });
    expect([checked.exitCode, checked.stdout]).toEqual([0, ""]);
    expect((await node[removed]("DEL", call)).exitCode).toBe(0);
    expect([await names(node), node.leases()]).toEqual([["lan0", "lo"], {}]);
  });
});

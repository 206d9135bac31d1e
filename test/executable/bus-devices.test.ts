import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attach, callFor, complaint, type Config, hostDevice, refusal } from "./configs.ts";
import { reference } from "./harness.ts";
import { names, network } from "./lan.ts";

describe("host-device: devices of a bus", () => {
  // no test moves a device of this machine: what is laid over its buses names links of the node
  const folder = mkdtempSync(join(tmpdir(), "bus-"));
  const device = (place: string, driver: string, net: string): void => {
    mkdirSync(`${folder}/${place}/${net}`, { recursive: true });
    mkdirSync(`${folder}/pci/drivers/${driver}`, { recursive: true });
    symlinkSync(`../../../../bus/pci/drivers/${driver}`, `${folder}/${place}/driver`);
  };
  beforeAll(() => {
    device("pci/devices/0000:00:1f.6", "e1000e", "net/lan0");
    device("pci/devices/0000:00:1f.7", "virtio-pci", "virtio7/net/lan0");
    device("pci/devices/0000:00:1f.5", "vfio-pci", "nothing");
    device("auxiliary/devices/mlx5_core.sf.4", "mlx5_core.sf", "net/lan0");
    mkdirSync(`${folder}/pci/devices/0000:00:1f.4/net/lan0`, { recursive: true });
    mkdirSync(`${folder}/pci/devices/0000:00:1f.3`);
    mkdirSync(`${folder}/kernel/lan/net/lan0`, { recursive: true });
    execFileSync("mount", ["--bind", `${folder}/kernel`, "/sys/devices/virtual/misc"]);
    execFileSync("mount", ["--bind", folder, "/sys/bus"]);
  });
  afterAll(() => execFileSync("umount", ["/sys/bus", "/sys/devices/virtual/misc"]));

  test.each<[string, object]>([
    ["kernelpath", { kernelpath: "/sys/devices/virtual/misc/lan" }],
    ["pciBusID", { pciBusID: "0000:00:1f.6" }],
    ["pciBusID of a virtio device", { pciBusID: "0000:00:1f.7" }],
    [
      "runtimeConfig.deviceID, before pciBusID",
      { pciBusID: "0000:ff:1f.0", runtimeConfig: { deviceID: "0000:00:1f.6" } },
    ],
    [
      "runtimeConfig.deviceID of an auxiliary bus, before pciBusID",
      { pciBusID: "0000:ff:1f.0", runtimeConfig: { deviceID: "mlx5_core.sf.4" } },
    ],
    ["device, before a deviceID", { device: "lan0", runtimeConfig: { deviceID: "mlx5_core.sf.4" } }],
  ])("by %s", async (_what, more) => {
    const { node } = await network();
    const attached = await attach(node, hostDevice(node, more));
    expect(await names(attached.pod)).toEqual(["eth0", "lo"]);
    expect(await complaint(node, attached)).toBe("");
    // unplugged since
    await node.succeed("DEL", { ...attached.call, config: hostDevice(node, { pciBusID: "0000:aa:00.0" }) });
    expect(await names(node)).toEqual(["lan0", "lo"]);
    if (!reference.newest) return;
    const theirs = await node.reference("ADD", attached.call);
    expect(theirs).toMatchObject({ result: { interfaces: attached.result.interfaces } });
  });

  test.each<[string, object, RegExp]>([
    ["without a driver", { pciBusID: "0000:00:1f.4" }, /pciBusID: "0000:00:1f\.4" has no driver/],
    ["without a folder of links", { kernelpath: "/sys/devices/virtual/misc" }, /kernelpath: .* is no link of the host/],
    ["that is on no bus", { runtimeConfig: { deviceID: "x.1" } }, /no such device in .*pci.* or .*auxiliary/],
  ])("one %s is refused, naming the key; DEL succeeds", async (_what, more, message) => {
    const { node } = await network();
    const call = await callFor(node, hostDevice(node, more));
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringMatching(message) as unknown });
    await node.succeed("DEL", call);
    expect([await names(node), node.leases()]).toEqual([["lan0", "lo"], {}]);
  });

  test.each<[string, object]>([
    ["by its driver, whatever dpdkMode says", { pciBusID: "0000:00:1f.5", dpdkMode: false }],
    ["by dpdkMode", { device: "none", dpdkMode: true }],
  ])("one that a program drives, %s, is left where it is; the pod has a lease", async (_what, more) => {
    const { node } = await network();
    const attached = await attach(node, hostDevice(node, more) as Config);
    expect(attached.result).toMatchObject({
      interfaces: [{ name: "eth0", sandbox: attached.pod.path }],
      ips: [{ address: "10.9.0.2/24", interface: 0 }],
    });
    expect(await names(attached.pod)).toEqual(["lo"]);
    expect(await complaint(node, attached)).toBe("");
    expect(Object.keys(node.leases())).toHaveLength(1);
    await node.succeed("DEL", attached.call);
    expect([await names(node), node.leases()]).toEqual([["lan0", "lo"], {}]);
  });
});

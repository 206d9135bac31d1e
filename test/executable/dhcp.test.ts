import { expect, test } from "vitest";
import { attach, complaint } from "./configs.ts";
import { DhcpScene } from "./dhcp.ts";

test("macvlan: a lease, packets, CHECK, and DEL gives it back", async () => {
  const scene = await DhcpScene.make();
  const { node } = scene;
  const server = await scene.dnsmasq("--dhcp-option=option:router,10.9.0.1");
  const daemon = await scene.daemon();
  const attached = await attach(node, scene.config());
  expect(attached.result).toMatchObject({
    ips: [{ address: expect.stringMatching(/^10\.9\.0\.1\d\d\/24$/) as unknown, gateway: "10.9.0.1", interface: 0 }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }],
  });
  expect(await attached.pod.ping("10.9.0.1")).toBe(true);
  expect(await complaint(node, attached)).toBe("");
  expect(scene.kept()).toHaveLength(1);
  await node.succeed("DEL", attached.call);
  await server.line(new RegExp(`DHCPRELEASE.*${attached.ip4} ${attached.mac}`));
  expect(scene.kept()).toEqual([]);
  expect(await daemon.stop("SIGTERM")).toBe(0);
});

import { expect, test } from "vitest";
import { attach, complaint } from "../executable/configs.ts";
import { DhcpScene } from "../executable/dhcp.ts";

test("ipvlan: pods of one MAC ask for answers to all, have a lease each, renew it and give it back", async () => {
  const scene = await DhcpScene.make();
  const { node, outside } = scene;
  const dnsmasq = await scene.dnsmasq("--dhcp-option=option:router,10.9.0.1", "--dhcp-option-force=option:T1,3s");
  await scene.daemon();
  const capture = await scene.capture("udp[18:2] = 0x8000 and ether broadcast");
  const config = scene.config({ type: "ipvlan" });
  const [one, two] = [await attach(node, config), await attach(node, config)];
  await capture.line(new RegExp(`^${one.mac} > .*0\\.0\\.0\\.0\\.68 > 255\\.255\\.255\\.255\\.67`));
  await capture.line(/ > ff:ff:ff:ff:ff:ff.*\.67 > 255\.255\.255\.255\.68/);
  expect(two.mac).toBe(one.mac);
  await scene.hasLeased([one.ip4, two.ip4]);
  for (const each of [one, two]) {
    // at T1, by its own address
    await dnsmasq.line(new RegExp(`DHCPACK.* ${each.ip4} `), { from: dnsmasq.lines.length });
    expect([await outside.ping(each.ip4), await complaint(node, each)]).toEqual([true, ""]);
  }
  await node.succeed("DEL", one.call);
  await dnsmasq.line(new RegExp(`DHCPRELEASE.* ${one.ip4} `));
  await scene.hasLeased([two.ip4]);
  expect([await outside.ping(two.ip4), await complaint(node, two)]).toEqual([true, ""]);
});

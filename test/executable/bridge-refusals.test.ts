import { describe, expect, test } from "vitest";
import { bridge, callFor, refusal } from "./configs.ts";
import { Node } from "./harness.ts";

describe("bridge: configuration errors", () => {
  test("name every wrong key at once, before anything is touched", async () => {
    const node = await Node.create();
    const before = await node.snapshot();
    const wrong = {
      bridge: "a/b",
      mtu: "big",
      isGateway: 1,
      vlan: 4095,
      vlanTrunk: [{ id: 0 }, { minID: 5 }, { minID: 9, maxID: 3 }, null],
      dns: { nameservers: "10.1.0.1" },
    };
    const { code, msg } = await refusal(node, await callFor(node, bridge(node, wrong)));
    expect(code).toBe(7);
    for (const named of ['bridge is "a/b"', 'mtu is "big"', "isGateway is 1", "vlan is 4095", "0 to 4094"]) {
      expect(msg).toContain(named);
    }
    for (const named of [
      "vlanTrunk[0].id is 0",
      "vlanTrunk[1].maxID",
      "vlanTrunk[2].maxID is 3",
      "vlanTrunk[3]",
      "dns.nameservers",
    ]) {
      expect(msg).toContain(named);
    }
    expect(await node.snapshot()).toEqual(before);
  });

  test.each([
    ["hairpinMode with promiscMode", { hairpinMode: true, promiscMode: true }, /promiscMode.*hairpinMode/],
    ["disableContainerInterface with IPAM", { disableContainerInterface: true }, /disableContainerInterface.*ipam/],
    [
      "a VLAN interface whose name gets too long",
      { bridge: "bridge-of-15-by", vlan: 100, isGateway: true },
      /bridge-of-15-by\.100/,
    ],
    ["an empty bridge name", { bridge: "" }, /bridge is ""/],
    ["a bridge name the kernel would take for a pattern", { bridge: "br%d" }, /bridge is "br%d"/],
    ["a bridge name the kernel has for sysctls", { bridge: "default" }, /bridge is "default".*neither all nor default/],
  ])("%s", async (_what, wrong, msg) => {
    const node = await Node.create();
    const before = await node.snapshot();
    expect(await refusal(node, await callFor(node, bridge(node, wrong)))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(msg),
    });
    expect(await node.snapshot()).toEqual(before);
  });

  test("keys match in any case and integers may be written as 1400.0", async () => {
    const node = await Node.create();
    const text = JSON.stringify({
      ...bridge(node, { isGateway: undefined }),
      ISGATEWAY: true,
      HairPinMode: true,
      MTU: 1,
    }).replace('"MTU":1', '"MTU":1400.0');
    const pod = await node.pod();
    await node.succeed("ADD", { plugin: "bridge", config: text, containerId: "one", netns: pod });
    expect(await node.addresses("br0")).toEqual(["10.9.0.1/24"]);
    expect((await pod.link("eth0"))?.mtu).toBe(1400);
  });
});

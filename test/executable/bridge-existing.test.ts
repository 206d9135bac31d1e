import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, dualStack, refusal } from "./configs.ts";
import { Node } from "./harness.ts";

/** A node that has a bridge br0 of somebody else's, with the lines of `ip` run on it. */
async function withBridge(...lines: string[]): Promise<Node> {
  const node = await Node.create();
  await node.ip("link add name br0 type bridge");
  for (const line of lines) await node.ip(line);
  return node;
}

describe("bridge: one that exists", () => {
  test("is set up and used as it is; another MTU is said aloud", async () => {
    const node = await withBridge("link set br0 mtu 1300");
    const call = await callFor(node, bridge(node, { mtu: 1400, isGateway: true }));
    const { stderr } = await node.succeed("ADD", call);
    expect(stderr).toMatch(/br0.*MTU 1300.*1400/);
    const link = await node.link("br0");
    expect([link?.mtu, link?.flags.includes("UP"), await node.addresses("br0")]).toEqual([1300, true, ["10.9.0.1/24"]]);
  });

  test("that is not a bridge is a configuration error", async () => {
    const node = await Node.create();
    await node.ip("link add name br0 type veth peer name other");
    const before = await node.snapshot();
    expect(await refusal(node, await callFor(node, bridge(node)))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/"br0" already exists but is not a bridge.*veth/),
    });
    expect(await node.snapshot()).toEqual(before);
  });

  test("without promiscuous mode gets it", async () => {
    const node = await withBridge();
    await attach(node, bridge(node, { promiscMode: true }));
    expect((await node.link("br0"))?.promiscuity).toBe(1);
  });
});

describe("bridge: gateway addresses on one that exists", () => {
  test.each([
    ["its own address", ["10.9.0.1/24"]],
    ["its own address after another", ["10.200.0.1/16", "10.9.0.1/24"]],
    ["an IPv6 address of another subnet", ["fd00:10::1/64"]],
  ])("%s stays", async (_what, present) => {
    const node = await withBridge(...present.map((address) => `address add ${address} dev br0`));
    await attach(node, bridge(node, { isGateway: true, ipam: dualStack(node) }));
    const expected = [...new Set([...present, "10.9.0.1/24", "fd00:9::1/64"])];
    expect((await node.addresses("br0")).sort()).toEqual(expected.sort());
  });

  const conflicts = [
    ["another IPv4 address", "10.200.0.1/16", "10.9.0.1/24"],
    ["its address with another prefix length", "10.9.0.1/16", "10.9.0.1/24"],
    ["an overlapping IPv6 address", "fd00:9::5/48", "fd00:9::1/64"],
  ] as const;

  test.each(conflicts)("%s is refused, naming both", async (_what, present, wanted) => {
    const node = await withBridge("link set br0 up", `address add ${present} dev br0`);
    const before = await node.snapshot();
    const error = await refusal(node, await callFor(node, bridge(node, { isGateway: true, ipam: dualStack(node) })));
    expect(error.msg).toContain(`"br0" already has an IP address different from ${wanted}: ${present}`);
    const { forwarding: _forwarding, ...after } = await node.snapshot();
    const names = after.links.map((link) => ({ ...link, addresses: undefined, address: undefined }));
    expect(names).toEqual(before.links.map((link) => ({ ...link, addresses: undefined, address: undefined })));
    expect(after.leases).toEqual({});
  });

  test.each(conflicts)("%s is replaced with forceAddress", async (_what, present, wanted) => {
    const node = await withBridge(`address add ${present} dev br0`);
    await attach(node, bridge(node, { isGateway: true, forceAddress: true, ipam: dualStack(node) }));
    const addresses = await node.addresses("br0");
    expect(addresses).toContain(wanted);
    expect(addresses).not.toContain(present);
  });
});

describe("bridge: its MAC", () => {
  const plugLowest = async (node: Node): Promise<void> => {
    await node.ip("link add name low address 00:00:5e:00:00:01 type veth peer name lower");
    await node.ip("link set low master br0");
  };

  test.each([
    ["as a gateway", { isGateway: true }],
    ["without an address", {}],
    ["without IPAM", { ipam: undefined }],
  ])("stays when ports come and go, %s", async (_what, more) => {
    const node = await Node.create();
    const mac = async (): Promise<string> => (await node.link("br0"))!.address;
    const { call, result } = await attach(node, bridge(node, more));
    const first = await mac();
    expect(result.interfaces?.[0]?.mac).toBe(first);
    await plugLowest(node);
    expect(await mac()).toBe(first);
    await attach(node, bridge(node, more));
    await node.succeed("DEL", call);
    expect(await mac()).toBe(first);
  });

  test.each([
    ["never had a port", []],
    [
      "has a port with the lowest MAC",
      ["link add name low address 00:00:5e:00:00:01 type veth peer name lower", "link set low master br0"],
    ],
  ])("of a foreign one that %s is kept from the first ADD on", async (_what, lines) => {
    const node = await withBridge(...lines);
    const before = (await node.link("br0"))!.address;
    const { result } = await attach(node, bridge(node));
    if (lines.length > 0) await node.ip("link delete low");
    expect([result.interfaces?.[0]?.mac, (await node.link("br0"))!.address]).toEqual([before, before]);
  });
});

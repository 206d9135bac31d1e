import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, type Config, dualStack, hostLocal, programs, ptp, refusal } from "./configs.ts";
import { Node } from "./harness.ts";
import { nodeOnLan } from "./uplink.ts";

// As takeover.test.ts, of what an IPAM plugin gives as a gateway, and of the router the node lives by.

/** Where IPAM is a plugin that answers with these addresses. */
const answering = (ips: readonly object[]): { path: string } => ({
  path: programs({ given: `cat > /dev/null; echo '${JSON.stringify({ cniVersion: "1.0.0", ips })}'` }),
});

describe("what the node is to answer for as a gateway", () => {
  const gatewayed: [string, (node: Node, more: object) => Config][] = [
    ["bridge", (node, more) => bridge(node, { isGateway: true, ...more })],
    ["ptp", (node, more) => ptp(node, more)],
  ];

  test.each(gatewayed)("is no live pod's address: %s", async (_what, make) => {
    const node = await Node.create();
    const victim = await attach(node, ptp(node, { ipam: dualStack(node) }));
    const before = await node.snapshot();
    for (const ip of [
      { address: "10.8.0.7/24", gateway: victim.ip4 },
      { address: "fd00:8::7/64", gateway: victim.ip6 },
    ]) {
      const config = make(node, { name: "second", bridge: "br-second", ipam: { type: "given" } });
      const error = await refusal(node, { ...(await callFor(node, config)), ...answering([ip]) });
      expect(error).toMatchObject({
        code: 11,
        msg: expect.stringContaining(`container ${victim.call.containerId}`) as unknown,
      });
      await node.run("ip", ["link", "delete", "br-second"]);
    }
    expect(await node.snapshot()).toEqual(before);
    expect([await node.ping(victim.ip4), await node.ping(victim.ip6)]).toEqual([true, true]);
  });

  test.each(gatewayed)("is not the pod's own address: %s", async (_what, make) => {
    const node = await Node.create();
    const before = await node.snapshot();
    for (const address of ["10.9.0.5", "fd00:9::5"]) {
      const config = make(node, { ipam: { type: "given" } });
      const ips = [{ address: `${address}/${address.includes(":") ? 64 : 24}`, gateway: address }];
      const error = await refusal(node, { ...(await callFor(node, config)), ...answering(ips) });
      expect(error).toMatchObject({
        code: 7,
        msg: expect.stringMatching(`${address}, which is .* gateway`) as unknown,
      });
    }
    expect(await node.snapshot()).toEqual(before);
  });
});

describe("the router of the node", () => {
  test.each([
    ["is no pod's address", "192.168.77.254", { address: "192.168.77.254/24", gateway: "192.168.77.9" }],
    ["is no pod's gateway", "192.168.77.254", { address: "192.168.77.8/24", gateway: "192.168.77.254" }],
    ["is no pod's address, IPv6", "fd77::fe", { address: "fd77::fe/128", gateway: "fd77::9" }],
    ["is no pod's gateway, IPv6", "fd77::fe", { address: "fd77::8/128", gateway: "fd77::fe" }],
  ])("%s", async (_what, router, ip) => {
    const node = await nodeOnLan("route add default via 192.168.77.254", "-6 route add default via fd77::fe");
    const before = await node.snapshot();
    const call = await callFor(node, ptp(node, { ipam: { type: "given" } }));
    const error = await refusal(node, { ...call, ...answering([ip]) });
    expect(error).toMatchObject({ code: 7, msg: expect.stringMatching(`${router}.*router of this node`) as unknown });
    expect(await node.snapshot()).toEqual(before);
  });
});

test("a link-local gateway is each link's own: the node's router may be called the same", async () => {
  const node = await nodeOnLan(
    "-6 route add default via fe80::1 dev lan",
    "route add default via 169.254.1.1 dev lan onlink",
  );
  const linkLocal = ptp(node, { name: "one", gatewayMode: "link-local", ipam: dualStack(node) });
  const ipam = { ranges: [[{ subnet: "fd00:8::/64", gateway: "fe80::1" }]] };
  for (const config of [linkLocal, bridge(node, { name: "two", isGateway: true, ipam: hostLocal(node, ipam) })]) {
    const { ip6 } = await attach(node, config);
    expect(ip6).toMatch(/^fd00:[89]::/);
  }
});

test("an address IPAM gives twice is refused before anything is made", async () => {
  const node = await Node.create();
  const before = await node.snapshot();
  for (const config of [bridge(node, { ipam: { type: "given" } }), ptp(node, { ipam: { type: "given" } })]) {
    const twice = { address: "10.9.0.5/24", gateway: "10.9.0.1" };
    const error = await refusal(node, { ...(await callFor(node, config)), ...answering([twice, twice]) });
    expect(error).toMatchObject({ code: 7, msg: expect.stringMatching(/10\.9\.0\.5.*twice/) as unknown });
  }
  expect(await node.snapshot()).toEqual(before);
});

import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach, bridge, complaint, type Config, hostLocal, macvlan, programs, ptp, refusal, tap } from "./configs.ts";
import { DhcpScene } from "./dhcp.ts";
import { Node, reference } from "./harness.ts";

// Container id and interface name are one attachment: as long as its link is there, it is made by no other ADD, in its
// namespace or another one. Where the link has an end on the host, or the address is host-local's, others see to that.

const fixed = { type: "static", addresses: [{ address: "10.9.0.20/24" }] };
const theirHostLocal = (node: Node): object => ({ ...hostLocal(node), type: "their-host-local" });

const own: [string, (node: Node) => Config][] = [
  ["macvlan, static", (node) => macvlan(node, { ipam: { ...fixed, dataDir: node.dataDir } })],
  ["macvlan without IPAM", (node) => macvlan(node, { ipam: undefined, dataDir: node.dataDir })],
  ["tap, static", (node) => tap(node, { ipam: { ...fixed, dataDir: node.dataDir } })],
];
const others: typeof own = [
  ["macvlan, another executable", (node) => macvlan(node, { ipam: theirHostLocal(node) })],
  ["bridge, another executable", (node) => bridge(node, { ipam: theirHostLocal(node) })],
  ["ptp, another executable", (node) => ptp(node, { ipam: theirHostLocal(node) })],
];

describe("a second ADD of an attachment that lives", () => {
  test.each([...own, ...others])(
    "is refused, in its namespace and in another, and harms nothing; after DEL it works: %s",
    async (_what, make) => {
      const node = await Node.create();
      await node.outside();
      const path = programs({ "their-host-local": `exec ${join(reference.folder, "host-local")}` });
      const attached = await attach(node, make(node), { path });
      const before = node.leases({ all: true });
      for (const netns of [await node.pod(), attached.pod]) {
        const links = await netns.links();
        expect(await refusal(node, { ...attached.call, netns })).toMatchObject({
          code: 4,
          msg: expect.stringMatching(
            new RegExp(`container ${attached.call.containerId} is attached to network net by it already`),
          ) as unknown,
        });
        expect([await complaint(node, attached), node.leases({ all: true })]).toEqual(["", before]);
        expect((await netns.links()).length).toBe(links.length);
      }
      await node.succeed("DEL", attached.call);
      await node.succeed("ADD", { ...attached.call, netns: await node.pod() });
    },
  );

  // the lease of another executable is its own affair
  test.each(own)("is none any more when its namespace is gone: %s", async (_what, make) => {
    const node = await Node.create();
    await node.outside();
    const { call, pod } = await attach(node, make(node));
    await pod.remove();
    expect(
      await complaint(
        node,
        await attach(node, make(node), { containerId: call.containerId!, netns: await node.pod() }),
      ),
    ).toBe("");
  });
});

test("dhcp: the lease of an attachment that lives stays its own", async () => {
  const scene = await DhcpScene.make();
  const { node } = scene;
  await scene.dnsmasq();
  await scene.daemon();
  const attached = await attach(node, scene.config({}, { dataDir: node.dataDir }));
  expect((await refusal(node, { ...attached.call, netns: await node.pod() })).msg).toMatch(/attached .* already/);
  expect(await complaint(node, attached)).toBe("");
  await scene.hasLeased([attached.ip4]);
});

test("the same container's second interface is another attachment, whose namespace is the same", async () => {
  const node = await Node.create();
  await node.outside();
  const config = (host: number): Config =>
    macvlan(node, { ipam: { type: "static", dataDir: node.dataDir, addresses: [{ address: `10.9.0.${host}/24` }] } });
  const first = await attach(node, config(5));
  const { containerId, netns } = first.call;
  const second = await attach(node, config(6), { containerId: containerId!, netns: netns!, ifname: "net1" });
  expect([await complaint(node, first), await complaint(node, second)]).toEqual(["", ""]);
});

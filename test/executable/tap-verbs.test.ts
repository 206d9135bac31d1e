import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach, type Attached, callFor, complaint, failure, hostLocal, namesIn, refusal, tap } from "./configs.ts";
import { Node, reference } from "./harness.ts";
import { start } from "./tap-machine.ts";

// What a failed ADD, DEL, GC, STATUS and CHECK of tap do and leave; what pods get is in tap.test.ts.

describe("a failed ADD of tap leaves nothing", () => {
  test("where a gateway is out of reach", async () => {
    const node = await Node.create();
    const ipam = hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "10.77.0.0/16", gw: "10.88.0.1" }] });
    const call = await callFor(node, tap(node, { ipam }));
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringContaining("gateway") as unknown });
    expect([await namesIn(call), node.leases()]).toEqual([["lo"], {}]);
  });

  test.each(["type veth peer name other", "tap"])("where the name is another link's, which stays: %s", async (type) => {
    const node = await Node.create();
    const pod = await node.pod();
    await pod.ip(type === "tap" ? "tuntap add mode tap name eth0" : `link add eth0 ${type}`);
    const before = (await pod.link("eth0"))!.address;
    const call = await callFor(node, tap(node), { netns: pod });
    expect(await refusal(node, call)).toMatchObject({
      code: 4,
      msg: expect.stringContaining("already exists") as unknown,
    });
    expect((await pod.link("eth0"))!.address).toBe(before);
    expect(node.leases()).toEqual({});
  });

  test("a second ADD of the same interface is refused, and the first one lives", async () => {
    const node = await Node.create();
    for (const config of [tap(node), tap(node, { ipam: undefined })]) {
      const attached = await attach(node, config);
      expect([4, 7]).toContain((await refusal(node, attached.call)).code);
      expect(await complaint(node, attached)).toBe("");
    }
  });
});

describe("DEL, GC, STATUS and CHECK of tap", () => {
  const without: [string, object][] = [
    ["prevResult", {}],
    ["namespace", { netns: "" }],
    ["a namespace that is there", { netns: "/run/netns/no-such" }],
  ];
  test.each(without)("DEL works without %s, twice", async (_what, more) => {
    const node = await Node.create();
    const attached = await attach(node, tap(node));
    const { stop } = await start(attached.pod); // a program that has it open does not keep it
    for (let times = 0; times < 2; times++) await node.succeed("DEL", { ...attached.call, ...more });
    await stop();
    expect([await namesIn(attached.call), node.leases()]).toEqual([["lo"], {}]);
  });

  test("GC removes the devices of attachments that are not valid, and no other; STATUS asks IPAM", async () => {
    const node = await Node.create();
    const [gone, kept] = [await attach(node, tap(node)), await attach(node, tap(node))];
    const valid = [{ containerID: kept.call.containerId, ifname: "eth0" }];
    await node.succeed("GC", { plugin: "tap", config: tap(node, { "cni.dev/valid-attachments": valid }) });
    expect([await namesIn(gone.call), await namesIn(kept.call)]).toEqual([["lo"], ["lo", "eth0"]]);
    expect(Object.keys(node.leases())).toHaveLength(1);
    await node.succeed("STATUS", { plugin: "tap", config: tap(node) });
    const broken = tap(node, { ipam: hostLocal(node, { subnet: "10.9.0.0/24", dataDir: "/dev/null/x" }) });
    expect(failure(await node.podwire("STATUS", { plugin: "tap", config: broken }))).toMatchObject({ code: 50 });
  });

  test.each<[string, string, RegExp]>([
    ["the link", "link delete eth0", /link eth0 does not exist in the container/],
    ["its MAC", "link set eth0 address 02:00:00:00:00:77", /MAC 02:00:00:00:00:77/],
    ["its MTU", "link set eth0 mtu 1300", /MTU 1300, not 1400/],
    ["its state", "link set eth0 down", /is down/],
    ["an address", "address flush dev eth0", /address 10\.9\.0\.2\/24 is missing/],
  ])("CHECK names %s that is not as ADD made it", async (_what, line, message) => {
    const node = await Node.create();
    const attached = await attach(node, tap(node, { mtu: 1400 }));
    expect(await complaint(node, attached)).toBe("");
    await attached.pod.ip(line);
    expect(await complaint(node, attached)).toMatch(message);
  });

  test("CHECK names an MTU that is not the kernel's where none was asked for, and not one that tuning set", async () => {
    const node = await Node.create();
    const attached = await attach(node, tap(node));
    const tuning = { type: "tuning", mtu: 1400, dataDir: join(node.dataDir, "tuning") };
    const config = { cniVersion: "1.1.0", name: "net", ...tuning, prevResult: attached.result };
    const { result } = await node.succeed("ADD", { ...attached.call, plugin: "tuning", config });
    expect(await complaint(node, { ...attached, result: result! })).toBe("");
    expect(await complaint(node, attached)).toMatch(/eth0 in the container has MTU 1400, not 1500/);
  });

  test("CHECK names queues, owner and kind that are not as configured", async () => {
    const node = await Node.create();
    const attached = await attach(node, tap(node));
    const asked = (more: object): Attached => ({ ...attached, call: { ...attached.call, config: tap(node, more) } });
    expect(await complaint(node, asked({ multiQueue: true }))).toMatch(/multiQueue of link eth0 .* is false, not true/);
    expect(await complaint(node, asked({ owner: 0 }))).toMatch(
      /owner of link eth0 in the container is undefined, not 0/,
    );
    await attached.pod.ip("link delete eth0");
    await attached.pod.ip("tuntap add mode tun name eth0");
    expect(await complaint(node, attached)).toMatch(/mode of link eth0 in the container is undefined, not tap/);
  });

  test.runIf(reference.newest).each<[string, object]>([
    ["one made by ip", { mtu: 1400, multiQueue: true }],
    ["one made by ioctl", { mtu: 1400, owner: 0, group: 0 }],
  ])("the reference's and podwire's are one: %s", async (_what, more) => {
    const node = await Node.create();
    const wanted = tap(node, more);
    const call = await callFor(node, wanted);
    const theirs = await node.reference("ADD", call);
    expect(theirs).toMatchObject({ exitCode: 0 });
    expect((await node.podwire("CHECK", { ...call, config: { ...wanted, prevResult: theirs.result } })).stdout).toBe(
      "",
    );
    await node.succeed("DEL", call);
    expect([await namesIn(call), node.leases()]).toEqual([["lo"], {}]);
    const ours = await node.succeed("ADD", call);
    expect((await node.reference("CHECK", { ...call, config: { ...wanted, prevResult: ours.result } })).stdout).toBe(
      "",
    );
    expect(await node.reference("DEL", call)).toMatchObject({ exitCode: 0 });
    expect(await namesIn(call)).toEqual(["lo"]);
  });
});

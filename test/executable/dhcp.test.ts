import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, complaint, failure, namesIn, refusal } from "./configs.ts";
import { hasReference } from "./dhcp.ts";
import { served, described } from "./dhcp-served.ts";

describe("dhcp inside the plugins that wire", () => {
  test("macvlan: a lease, packets, CHECK; DEL gives it back by the pod's own address and MAC", async () => {
    const { scene, node, dnsmasq, daemon } = await served();
    const attached = await attach(node, scene.config());
    expect(attached.result).toMatchObject({
      ips: [{ address: expect.stringMatching(/^10\.9\.0\.1\d\d\/24$/) as unknown, gateway: "10.9.0.1", interface: 0 }],
      routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }],
    });
    expect(await attached.pod.ping("10.9.0.1")).toBe(true);
    expect(await complaint(node, attached)).toBe("");
    expect(scene.kept()).toHaveLength(1);
    const capture = await scene.capture("udp dst port 67");
    await node.succeed("DEL", attached.call);
    await dnsmasq.line(new RegExp(`DHCPRELEASE.*${attached.ip4} ${attached.mac}`));
    const outsideMac = (await scene.outside.link("eth0"))!.address;
    await capture.line(new RegExp(`^${attached.mac} > ${outsideMac}.*${attached.ip4}\\.68 > 10\\.9\\.0\\.1\\.67`));
    await scene.hasLeased([]);
    expect(scene.kept()).toEqual([]);
    await node.succeed("DEL", attached.call);
    expect(await daemon.stop("SIGTERM")).toBe(0);
  });

  test.each([
    ["at its MAC", 0, []],
    ["to all where the daemon is told so", 0x8000, ["--broadcast"]],
  ])("macvlan is answered %s", async (_where, flags, daemon) => {
    const { scene, node } = await served(undefined, { daemon });
    const asked = await scene.capture(`udp dst port 67 and udp[18:2] = ${flags}`);
    const answered = await scene.capture(`udp src port 67 and${flags ? "" : " not"} ether broadcast`);
    const { mac } = await attach(node, scene.config());
    expect(await asked.line(/ > /)).toContain(`${mac} > ff:ff:ff:ff:ff:ff`);
    expect(await answered.line(/ > /)).toContain(` > ${flags ? "ff:ff:ff:ff:ff:ff" : mac}`);
  });

  test("bridge: the link comes first, and is up; two pods have two addresses and reach each other", async () => {
    const { scene, node } = await served();
    await node.ip("link add br0 type bridge");
    await node.ip("link set br0 up");
    await node.ip("link set uplink master br0");
    const { ipam } = scene.config();
    const [one, two] = [await attach(node, bridge(node, { ipam })), await attach(node, bridge(node, { ipam }))];
    expect(one.ip4).not.toBe(two.ip4);
    expect(await one.pod.ping(two.ip4)).toBe(true);
    expect(await complaint(node, one)).toBe("");
    expect(await complaint(node, two)).toBe("");
    await node.succeed("DEL", one.call);
    expect(await complaint(node, two)).toBe("");
    await scene.hasLeased([two.ip4]);
  });

  test("routes, priority, what is provided and asked for", async () => {
    const { scene, node, dnsmasq } = await served(undefined, {
      server: ["--dhcp-option=121,10.77.0.0/16,10.9.0.7,0.0.0.0/0,10.9.0.1"],
    });
    const ipam = {
      priority: 77,
      request: [{ option: "121" }],
      provide: [
        { option: "host-name", fromArg: "K8S_POD_NAME" },
        { option: "dhcp-client-identifier", value: "me" },
      ],
    };
    const args = "IgnoreUnknown=1;K8S_POD_NAME=web-1";
    const { result, pod, call } = await attach(node, scene.config({}, ipam), { args });
    expect(result.routes).toEqual([
      { dst: "10.77.0.0/16", gw: "10.9.0.7", priority: 77 },
      { dst: "0.0.0.0/0", gw: "10.9.0.1", priority: 77 },
    ]);
    expect(await pod.routes()).toMatchObject([
      { dst: "default", gateway: "10.9.0.1", metric: 77 },
      { dst: "10.9.0.0/24" },
      { dst: "10.77.0.0/16", gateway: "10.9.0.7", metric: 77 },
    ]);
    await dnsmasq.line(/client provides name: web-1/);
    await dnsmasq.line(/requested options: 121:.*3:router, 1:netmask/);
    expect(scene.leaseLines()[0]).toContain("6d:65");
    await node.succeed("DEL", call);
    await dnsmasq.line(/DHCPRELEASE/);
    await scene.hasLeased([]);
  });

  test("a failed ADD gives the lease back and leaves nothing", async () => {
    const { scene, node, dnsmasq } = await served(undefined, { server: ["--dhcp-option=121,10.77.0.0/16,10.55.0.7"] });
    const call = await callFor(node, scene.config({}, { request: [{ option: "121" }] }));
    const before = await node.snapshot();
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringContaining("gateway") as unknown });
    await dnsmasq.line(/DHCPRELEASE/);
    await scene.hasLeased([]);
    expect(await namesIn(call)).toEqual(["lo"]);
    expect(scene.kept()).toEqual([]);
    expect(await node.snapshot()).toEqual(before);
  });

  test("GC gives back what is not valid", async () => {
    const { scene, node, dnsmasq } = await served();
    const [kept, lost] = [await attach(node, scene.config()), await attach(node, scene.config())];
    const valid = [{ containerID: kept.call.containerId, ifname: "eth0" }];
    const config = scene.config({ "cni.dev/valid-attachments": valid });
    await node.succeed("GC", { plugin: "macvlan", config });
    await dnsmasq.line(new RegExp(`DHCPRELEASE.*${lost.ip4}`));
    await scene.hasLeased([kept.ip4]);
    expect(await complaint(node, kept)).toBe("");
    expect(await namesIn(lost.call)).toEqual(["lo"]);
  });
});

describe("dhcp by itself", () => {
  test.each(["0.1.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
    "ADD in version %s, as the reference",
    async (cniVersion) => {
      const { scene, node } = await served();
      const pod = await node.pod();
      await node.ip(`link add link uplink name eth0 netns ${pod.name} type macvlan mode bridge`);
      const config = { ...scene.config({ type: "dhcp" }), cniVersion };
      const call = { plugin: "dhcp", config, containerId: "c1", netns: pod };
      const { result } = await node.succeed("ADD", call);
      expect((await node.succeed("ADD", call)).result).toEqual(result); // it is the same lease
      expect(await pod.addresses("eth0")).toEqual([]); // what is done with it is the caller's affair
      if (cniVersion >= "0.4.0") await node.succeed("CHECK", { ...call, config: { ...config, prevResult: result } });
      if (cniVersion === "1.1.0") await node.succeed("STATUS", { plugin: "dhcp", config });
      await node.succeed("DEL", call);
      if (!hasReference) return;
      const theirs = await scene.reference();
      const answer = await node.reference("ADD", { ...call, config: theirs.config({ ...config, type: "dhcp" }) });
      expect(answer.result).toEqual(result);
    },
  );
});

describe("beside the reference", () => {
  test.runIf(hasReference)("the same server gives the same result to either", async () => {
    const { scene, node } = await served(undefined, {
      server: ["--dhcp-option=121,10.77.0.0/16,0.0.0.0,0.0.0.0/0,10.9.0.1"],
    });
    const theirs = await scene.reference();
    const pod = await node.pod();
    await node.ip(`link add link uplink name eth0 netns ${pod.name} type macvlan mode bridge`);
    for (const request of [[], [{ option: "121" }], [{ skipDefault: true, option: "1" }]]) {
      const config = scene.config({ type: "dhcp" }, { request, priority: 5 });
      const call = { plugin: "dhcp", config, containerId: "c1", netns: pod };
      const ours = await node.succeed("ADD", call);
      await node.succeed("DEL", call);
      const other = { ...call, config: theirs.config(config) };
      const answer = await node.reference("ADD", other);
      expect(answer.exitCode).toBe(0);
      expect(described(answer.result!)).toEqual(described(ours.result!));
      await node.reference("DEL", other);
    }
  });

  test.runIf(hasReference)("each says so where the daemon is the other's", async () => {
    const { scene, node } = await served();
    const theirs = await scene.reference();
    const call = await callFor(node, scene.config());
    expect(failure(await node.reference("ADD", { ...call, plugin: "dhcp" })).msg).toMatch(/podwire dhcp-daemon/);
    const config = theirs.config(scene.config());
    expect(await refusal(node, { ...call, config })).toMatchObject({
      msg: expect.stringContaining("not podwire dhcp-daemon") as unknown,
    });
  });

  test.runIf(hasReference)(
    "CHECK takes over what the reference's daemon leased, and the same address it is",
    async () => {
      const { scene, node, daemon, dnsmasq } = await served();
      const theirs = await scene.reference();
      const call = await callFor(node, theirs.config(scene.config()));
      const added = await node.reference("ADD", { ...call });
      expect(added.exitCode).toBe(0);
      const result = added.result!;
      const own = { ...call, config: { ...scene.config(), prevResult: result } };
      expect((await node.podwire("CHECK", own)).stdout).toBe("");
      await daemon.line(/leased/);
      await node.succeed("DEL", own);
      await dnsmasq.line(/DHCPRELEASE/);
    },
  );
});

import { describe, expect, test } from "vitest";
import { attach, type Attached, bridge, callFor, complaint, dualStack, hostLocal, refusal, v4 } from "./configs.ts";
import { type Namespace, Node } from "./harness.ts";

/** What `ip -d link` says of a bridge port. */
const port = async (node: Node, { hostVeth }: Attached): Promise<object> =>
  (await node.link(hostVeth))!.linkinfo!.info_slave_data!;

describe("bridge: ports", () => {
  test("hairpinMode is written either way", async () => {
    const node = await Node.create();
    const [on, off] = [await attach(node, bridge(node, { hairpinMode: true })), await attach(node, bridge(node))];
    expect(await port(node, on)).toMatchObject({ hairpin: true, isolated: false });
    expect(await port(node, off)).toMatchObject({ hairpin: false });
    const reflected = async ({ pod, mac }: Attached): Promise<boolean> => {
      // what the pod's own stack loops back has no Ethernet header
      await pod.must(
        "nft",
        `add table ip seen; add chain ip seen pre { type filter hook prerouting priority 0; }; add rule ip seen pre ether saddr ${mac} counter`,
      );
      await pod.ping("255.255.255.255", { timeoutS: 1, args: ["-b", "-I", "eth0"] });
      return !(await pod.must("nft", "list", "table", "ip", "seen")).includes("packets 0");
    };
    expect([await reflected(off), await reflected(on)]).toEqual([false, true]);
  });

  test("portIsolation keeps isolated pods from each other, not from the gateway and others", async () => {
    const node = await Node.create();
    const config = bridge(node, { isGateway: true, portIsolation: true });
    const [one, two] = [await attach(node, config), await attach(node, config)];
    const other = await attach(node, { ...config, portIsolation: false });
    expect(await port(node, one)).toMatchObject({ isolated: true });
    const expected = { [two.ip4]: false, "10.9.0.1": true, [other.ip4]: true };
    expect(await one.pod.reached(expected)).toEqual(expected);
  });

  test("promiscMode makes the bridge promiscuous, once however many pods ask", async () => {
    const node = await Node.create();
    const config = bridge(node, { promiscMode: true });
    const attached = await attach(node, config);
    await attach(node, config);
    expect((await node.link("br0"))?.promiscuity).toBe(1);
    expect(await complaint(node, attached)).toBe("");
  });

  test("mtu goes to a bridge that is made and to both ends of the pair", async () => {
    const node = await Node.create();
    const { pod, hostVeth } = await attach(node, bridge(node, { mtu: 1400 }));
    expect([(await node.link("br0"))?.mtu, (await node.link(hostVeth))?.mtu, (await pod.link("eth0"))?.mtu]).toEqual([
      1400, 1400, 1400,
    ]);
  });

  test("the host end has no queue, and its alias tells a person whose it is", async () => {
    const node = await Node.create();
    const { call, hostVeth } = await attach(node, bridge(node));
    const link = await node.link(hostVeth);
    expect([link?.txqlen, link?.ifalias]).toEqual([undefined, `podwire net ${call.containerId} eth0`]);
  });

  test("enabledad detects duplicates before ADD returns", async () => {
    const node = await Node.create();
    const config = bridge(node, { enabledad: true, ipam: dualStack(node) });
    const { pod, ip6 } = await attach(node, config);
    expect([
      await pod.sysctl("net/ipv6/conf/eth0/accept_dad"),
      await pod.sysctl("net/ipv6/conf/eth0/enhanced_dad"),
    ]).toEqual(["1", "1"]);
    expect((await pod.link("eth0"))?.addr_info.filter(({ tentative }) => tentative)).toEqual([]);

    await pod.ip("address add fd00:9::3/64 dev eth0 nodad");
    const before = await node.snapshot();
    expect(await refusal(node, await callFor(node, config))).toMatchObject({
      msg: expect.stringContaining("fd00:9::3"),
    });
    expect(await node.snapshot()).toEqual(before);
    expect(ip6).toBe("fd00:9::2");
  });

  test("without enabledad nothing waits for duplicate address detection", async () => {
    const node = await Node.create();
    const { pod } = await attach(node, bridge(node, { ipam: dualStack(node) }));
    expect(await pod.sysctl("net/ipv6/conf/eth0/accept_dad")).toBe("0");
    expect((await pod.link("eth0"))?.addr_info.some(({ tentative }) => tentative)).toBe(false);
  });
});

describe("bridge: macspoofchk", () => {
  const sendFrom = async ({ pod }: Attached, mac: string): Promise<Namespace> => {
    await pod.ip(`link set eth0 address ${mac}`);
    await pod.ip("neighbour flush dev eth0");
    return pod;
  };
  const gateway = (answers: boolean) => ({ "10.9.0.1": answers });

  test("drops frames with another source MAC, and only from that port", async () => {
    const node = await Node.create();
    const guarded = await attach(node, bridge(node, { isGateway: true, macspoofchk: true }));
    const free = await attach(node, bridge(node, { isGateway: true }));
    expect(await guarded.pod.ping("10.9.0.1")).toBe(true);
    expect(await (await sendFrom(guarded, "02:00:00:00:00:07")).reached(gateway(false))).toEqual(gateway(false));
    expect(await (await sendFrom(guarded, guarded.mac)).reached(gateway(true))).toEqual(gateway(true));
    expect(await (await sendFrom(free, "02:00:00:00:00:08")).reached(gateway(true))).toEqual(gateway(true));
  });

  test("CHECK notices when it is gone, and DEL takes it away", async () => {
    const node = await Node.create();
    const config = bridge(node, { macspoofchk: true });
    await attach(node, config);
    const before = await node.snapshot();
    const attached = await attach(node, config);
    expect(await complaint(node, attached)).toBe("");
    await node.succeed("DEL", attached.call);
    expect(await node.snapshot()).toEqual(before);
    const again = await attach(node, config);
    await node.must("nft", "delete", "table", "bridge", "podwire");
    expect(await complaint(node, again)).toMatch(/podwire/);
  });

  test("guards an interface without addresses too", async () => {
    const node = await Node.create();
    const { pod } = await attach(node, bridge(node, { macspoofchk: true, ipam: undefined }));
    const other = await attach(node, bridge(node));
    await pod.ip("address add 10.9.0.77/24 dev eth0");
    expect(await pod.ping(other.ip4)).toBe(true);
    await pod.ip("link set eth0 address 02:00:00:00:00:09");
    expect(await pod.ping(other.ip4, { timeoutS: 1 })).toBe(false);
  });
});

describe("bridge: no addresses", () => {
  test("without ipam it wires layer 2 alone: ADD, CHECK and DEL", async () => {
    const node = await Node.create();
    const config = bridge(node, { ipam: undefined, isGateway: true, ipMasq: true });
    const one = await attach(node, config);
    const before = await node.snapshot();
    const two = await attach(node, config);
    expect([two.result.ips, two.result.routes, await two.pod.addresses("eth0"), await node.addresses("br0")]).toEqual([
      undefined,
      undefined,
      [],
      [],
    ]);
    for (const [{ pod }, address] of [
      [one, "10.1.1.1/24"],
      [two, "10.1.1.2/24"],
    ] as const) {
      await pod.ip(`address add ${address} dev eth0`);
    }
    expect(await two.pod.ping("10.1.1.1")).toBe(true);
    expect(await complaint(node, two)).toBe("");
    await node.succeed("DEL", two.call);
    expect(await node.snapshot()).toEqual(before);
  });

  test.each(["0.1.0", "0.2.0"])(
    "%s has no result without an address: ADD fails before anything is done",
    async (cniVersion) => {
      const node = await Node.create();
      const before = await node.snapshot();
      const error = await refusal(node, await callFor(node, bridge(node, { cniVersion, ipam: undefined })));
      expect(error).toMatchObject({ code: 1, msg: expect.stringContaining("no valid IP addresses") });
      expect(await node.snapshot()).toEqual(before);
    },
  );

  test("disableContainerInterface leaves the container's end down", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, { ipam: undefined, disableContainerInterface: true }));
    expect((await attached.pod.link("eth0"))?.flags).not.toContain("UP");
    expect((await node.link(attached.hostVeth))?.flags).toContain("UP");
    expect(await complaint(node, attached)).toBe("");
  });
});

describe("bridge: the container's MAC", () => {
  const asked = (last: number): string => `02:11:22:33:44:0${last}`;
  const argument = { args: `IgnoreUnknown=1;K8S_POD_NAME=x;MAC=${asked(1)}` };
  const args = { args: { cni: { mac: asked(2) } } };
  const runtimeConfig = { runtimeConfig: { mac: asked(3) } };

  test.each([
    ["CNI_ARGS", {}, argument, asked(1)],
    ["args.cni over CNI_ARGS", args, argument, asked(2)],
    ["runtimeConfig over both", { ...args, ...runtimeConfig }, argument, asked(3)],
    [
      "CNI_ARGS where the others are empty",
      { args: { cni: { mac: "" } }, runtimeConfig: { mac: "" } },
      argument,
      asked(1),
    ],
    ["runtimeConfig in another case and notation", { RuntimeConfig: { Mac: "0211.2233.4404" } }, {}, asked(4)],
  ])("comes from %s", async (_what, config, call, mac) => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, config), call);
    expect([(await attached.pod.link("eth0"))?.address, attached.mac]).toEqual([mac, mac]);
  });

  test("CNI_ARGS may ask for an address and a MAC together", async () => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node), { args: `IP=10.9.0.77;MAC=${asked(5)}` });
    expect([attached.ip4, attached.mac]).toEqual(["10.9.0.77", asked(5)]);
  });

  test.each([
    [4, "MAC=nonsense", {}, /CNI_ARGS.*MAC is "nonsense"/],
    [4, "Other=1", {}, /unknown args \["Other=1"\]/],
    [4, "MAC=02:11:22:33:44:05;", {}, /invalid pair ""/],
    [
      7,
      "",
      { args: { cni: { mac: "x" } }, runtimeConfig: { mac: 7 } },
      /args\.cni\.mac is "x".*runtimeConfig\.mac is 7/,
    ],
  ])("an error %i says what is wrong with it: %s %j", async (code, args, config, msg) => {
    const node = await Node.create();
    const before = await node.snapshot();
    const call = await callFor(node, bridge(node, config), args ? { args } : {});
    expect(await refusal(node, call)).toMatchObject({ code, msg: expect.stringMatching(msg) });
    expect(await node.snapshot()).toEqual(before);
  });
});

describe("bridge: VLANs", () => {
  // What they are to pods is tested in test/uml/bridge-vlan.test.ts, on a kernel that has them.
  test("make a bridge that filters them, or ADD says that this kernel cannot", async () => {
    const node = await Node.create();
    const before = await node.snapshot();
    const answer = await node.podwire("ADD", await callFor(node, bridge(node, { vlan: 100, isGateway: true })));
    if (answer.exitCode === 0) {
      expect((await node.link("br0"))?.linkinfo?.info_data).toMatchObject({ vlan_filtering: 1 });
    } else {
      expect(answer.error?.msg).toMatch(/VLAN filtering/);
      expect(await node.snapshot()).toEqual(before);
    }
  });

  test("vlan on a bridge without VLAN filtering is refused, not ignored", async () => {
    const node = await Node.create();
    await attach(node, bridge(node, { ipam: hostLocal(node, v4) }));
    const before = await node.snapshot();
    expect(await refusal(node, await callFor(node, bridge(node, { vlanTrunk: [] })))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/br0.*VLAN filtering/),
    });
    expect(await node.snapshot()).toEqual(before);
  });
});

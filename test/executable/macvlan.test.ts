import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  callFor,
  complaint,
  dataOf,
  dualStack,
  failure,
  linkOf,
  macvlan,
  namesIn,
  refusal,
} from "./configs.ts";
import { type Namespace, reference } from "./harness.ts";
import { network } from "./uplink.ts";

describe("macvlan", () => {
  test("makes a link that is a machine on the master's network, with addresses of both families, at once", async () => {
    const { node, outside } = await network();
    const routes = [
      { dst: "0.0.0.0/0", gw: "10.9.0.254" },
      { dst: "2001:db8:7::/48", gw: "fd00:9::fe" },
    ];
    const attached = await attach(node, macvlan(node, { ipam: dualStack(node, { routes }) }));
    const { pod, mac, ip4, ip6, result } = attached;
    expect(result.interfaces).toEqual([{ name: "eth0", mac, sandbox: pod.path }]);
    expect(result.ips).toEqual([
      { address: "10.9.0.2/24", gateway: "10.9.0.1", interface: 0 },
      { address: "fd00:9::2/64", gateway: "fd00:9::1", interface: 0 },
    ]);
    expect(await linkOf(attached)).toMatchObject({
      address: mac,
      mtu: 1500,
      ifalias: expect.stringMatching(/^podwire net container-\d+ eth0$/) as unknown,
    });
    expect(await pod.routes(4)).toContainEqual(expect.objectContaining({ dst: "default", gateway: "10.9.0.254" }));
    for (const address of [ip4, ip6]) expect([address, await outside.ping(address)]).toEqual([address, true]);
    await outside.listen(80);
    expect(await pod.connect("10.9.0.254", 80)).toMatchObject({ from: ip4 });
    const neighbours = await outside.ipJson<{ dst: string; lladdr: string }[]>("neigh show");
    expect(neighbours.find(({ dst }) => dst === ip4)).toMatchObject({ lladdr: mac });
    expect(await complaint(node, attached)).toBe("");
  });

  test("tells neighbours who has an address now", async () => {
    const { node, outside } = await network();
    const first = await attach(node, macvlan(node, { runtimeConfig: { ips: ["10.9.0.9"] } }));
    expect(await outside.ping("10.9.0.9")).toBe(true);
    await node.succeed("DEL", first.call);
    const second = await attach(node, macvlan(node, { runtimeConfig: { ips: ["10.9.0.9"] } }));
    const known = async () => outside.ipJson<{ dst: string; lladdr: string }[]>("neigh show to 10.9.0.9");
    // what was sent may be on its way where the machine is busy; without it the old MAC stays for longer
    await expect.poll(known, { timeout: 4000 }).toMatchObject([{ lladdr: second.mac }]);
  });

  test.each([
    ["bridge", true],
    ["", true],
    ["private", false],
    ["vepa", false],
  ])("mode %j: the pods of a master reach each other: %s; all reach what is outside", async (mode, reach) => {
    const { node } = await network();
    const [one, two] = [await attach(node, macvlan(node, { mode })), await attach(node, macvlan(node, { mode }))];
    expect(await dataOf(one)).toMatchObject({ mode: mode || "bridge" });
    const expected = { [two.ip4]: reach, "10.9.0.254": true };
    expect(await one.pod.reached(expected)).toEqual(expected);
    expect(await complaint(node, one)).toBe("");
  });

  test("mode passthru: one pod alone has the master and its MAC; a second one is refused", async () => {
    const { node, outside } = await network();
    const config = macvlan(node, { mode: "passthru", mac: "02:00:00:00:00:07" });
    const call = await callFor(node, config);
    const { result, stderr } = await node.succeed("ADD", call);
    expect(stderr).toContain("02:00:00:00:00:07");
    const { address: uplink } = (await node.link("uplink"))!;
    expect(result!.interfaces).toMatchObject([{ mac: uplink }]);
    expect(await outside.ping("10.9.0.2")).toBe(true);
    expect(await refusal(node, await callFor(node, macvlan(node)))).toMatchObject({
      code: 7,
      msg: expect.stringContaining("passthru") as unknown,
    });
    expect(await complaint(node, { call, result } as Attached)).toBe("");
  });

  test("dns: its own comes before IPAM's", async () => {
    const { node } = await network();
    const ipam = { type: "static", addresses: [{ address: "10.9.0.9/24" }], dns: { nameservers: ["10.9.0.2"] } };
    const dns = { nameservers: ["10.9.0.3"], search: ["example.org"] };
    for (const [own, expected] of [
      [dns, dns],
      [undefined, ipam.dns],
    ]) {
      const attached = await attach(node, macvlan(node, { dns: own, ipam: { ...ipam, dataDir: node.dataDir } }));
      expect(attached.result.dns).toEqual(expected);
      await node.succeed("DEL", attached.call);
    }
  });

  test("mtu and bcqueuelen", async () => {
    const { node } = await network();
    const attached = await attach(node, macvlan(node, { mtu: 1400, bcqueuelen: 2000 }));
    expect(await linkOf(attached)).toMatchObject({ mtu: 1400 });
    expect(await dataOf(attached)).toMatchObject({ bcqueuelen: 2000 });
    expect(await complaint(node, attached)).toBe("");
  });

  test("the MAC: the configuration's, then CNI_ARGS', then the runtime's", async () => {
    const { node } = await network();
    const mac = (n: number) => `02:00:00:00:00:0${n}`;
    const own = { mac: mac(1) };
    expect((await attach(node, macvlan(node, own))).mac).toBe(mac(1));
    expect((await attach(node, macvlan(node, own), { args: `MAC=${mac(2)}` })).mac).toBe(mac(2));
    const all = macvlan(node, { ...own, runtimeConfig: { mac: mac(3) } });
    const attached = await attach(node, all, { args: `MAC=${mac(2)}` });
    expect([attached.mac, (await linkOf(attached)).address]).toEqual([mac(3), mac(3)]);
  });

  test.each([4, 6] as const)("without master it is the link of the default route, IPv%i", async (family) => {
    const { node } = await network();
    const { outside4, outside6 } = { outside4: "192.0.2.2", outside6: "2001:db8::2" };
    const config = macvlan(node, { master: undefined });
    expect(await refusal(node, await callFor(node, config))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/^master is not set.*default route/) as unknown,
    });
    await node.ip(`-${family} route add default via ${family === 4 ? outside4 : outside6}`);
    const attached = await attach(node, config);
    const { ifindex } = (await node.link("uplink"))!;
    expect(await linkOf(attached)).toMatchObject({ link_index: ifindex });
    await node.ip(`-${family} route delete default`);
    expect(await complaint(node, attached)).toBe("");
    await node.succeed("DEL", attached.call);
  });

  test("linkInContainer: the master is the pod's own, by name or by the pod's default route", async () => {
    const { node } = await network();
    for (const master of ["inner", undefined]) {
      const pod = await node.pod({ up: true });
      await pod.ip("link add inner type veth peer name other");
      for (const line of [
        "link set inner up",
        "link set other up",
        "address add 10.9.1.1/24 dev inner",
        "route add default via 10.9.1.2",
      ]) {
        await pod.ip(line);
      }
      const config = macvlan(node, { master, linkInContainer: true });
      const attached = await attach(node, config, { netns: pod });
      expect(await linkOf(attached)).toMatchObject({ link: "inner" });
      expect(await complaint(node, attached)).toBe("");
      await node.succeed("DEL", attached.call);
      expect(await pod.link("eth0")).toBeUndefined();
    }
    expect(await refusal(node, await callFor(node, macvlan(node, { linkInContainer: true })))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/"uplink" does not exist in the container/) as unknown,
    });
  });

  test("without IPAM: the link alone, up; the kernel's sysctls stay", async () => {
    const { node } = await network();
    const attached = await attach(node, macvlan(node, { ipam: undefined }));
    expect(attached.result).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: attached.mac, sandbox: attached.pod.path }],
    });
    expect((await linkOf(attached)).flags).toContain("UP");
    expect(await attached.pod.addresses("eth0")).toEqual([]);
    expect(await attached.pod.sysctl("net/ipv6/conf/eth0/accept_ra")).toBe("1");
    expect(await complaint(node, attached)).toBe("");
    await node.succeed("DEL", attached.call);
    expect(await attached.pod.link("eth0")).toBeUndefined();
  });

  test("a master that is down: the pod has its addresses, and they work when it comes up", async () => {
    const { node, outside } = await network();
    await node.ip("link set uplink down");
    const attached = await attach(node, macvlan(node, { ipam: dualStack(node) }));
    await node.ip("link set uplink up");
    for (const address of [attached.ip4, attached.ip6]) {
      expect([address, await outside.ping(address)]).toEqual([address, true]);
    }
    expect(await complaint(node, attached)).toBe("");
  });

  test("a master that is a macvlan itself", async () => {
    const { node } = await network();
    await node.ip("link add link uplink name upper type macvlan mode bridge");
    await node.ip("link set upper up");
    const attached = await attach(node, macvlan(node, { master: "upper" }));
    expect(await attached.pod.ping("10.9.0.254")).toBe(true);
    expect(await complaint(node, attached)).toBe("");
  });
});

describe("a wrong configuration of macvlan is refused, naming the key, and nothing is changed", () => {
  test.each<[string, object, RegExp]>([
    ["mode", { mode: "source" }, /mode is "source", must be "bridge" or "private" or "vepa" or "passthru"/],
    ["master", { master: "no such" }, /master is "no such", must be a link name/],
    ["master that is not there", { master: "eth7" }, /master: link "eth7" does not exist on the host/],
    ["mtu above the master's", { mtu: 1501 }, /mtu is 1501, must be at most 1500, the MTU of master uplink/],
    ["mtu below any", { mtu: 60 }, /mtu is 60, must be from 68/],
    ["mtu below IPv6's", { mtu: 1000, ipam: { type: "host-local", subnet: "fd00:9::/64" } }, /mtu is 1000.*1280/],
    ["mac of a group", { mac: "01:00:00:00:00:01" }, /mac is "01:00:00:00:00:01", must be a MAC address of one link/],
    ["runtimeConfig.mac", { runtimeConfig: { mac: "zz" } }, /runtimeConfig\.mac is "zz"/],
    ["bcqueuelen", { bcqueuelen: -1 }, /bcqueuelen is -1, must be a whole number from 0 to 4294967295/],
    ["linkInContainer", { linkInContainer: "yes" }, /linkInContainer is "yes", must be true or false/],
  ])("%s", async (_what, more, message) => {
    const { node } = await network();
    const before = await node.snapshot();
    const call = await callFor(node, macvlan(node, more));
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringMatching(message) as unknown });
    expect(await node.snapshot()).toEqual(before);
    expect(await namesIn(call)).toEqual(["lo"]);
    await node.succeed("DEL", call);
  });

  test("a master that is a port of a bridge", async () => {
    const { node } = await network();
    await node.ip("link add br7 type bridge");
    await node.ip("link set uplink master br7");
    expect(await refusal(node, await callFor(node, macvlan(node)))).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/"uplink" cannot carry a macvlan: it is a port of a bridge/) as unknown,
    });
  });

  test("a MAC that another link of the master has", async () => {
    const { node } = await network();
    const config = macvlan(node, { mac: "02:00:00:00:00:07" });
    await attach(node, config);
    const call = await callFor(node, config);
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringMatching(/^mac: /) as unknown });
    expect(await namesIn(call)).toEqual(["lo"]);
    expect(Object.keys(node.leases())).toHaveLength(1);
  });

  test("MAC of CNI_ARGS", async () => {
    const { node } = await network();
    const call = await callFor(node, macvlan(node), { args: "MAC=zz" });
    expect(await refusal(node, call)).toMatchObject({ code: 4, msg: expect.stringContaining("zz") as unknown });
  });
});

describe.runIf(reference.newest)("under a running pod", () => {
  test.each([
    ["bridge", {}],
    ["private", { mtu: 1400, bcqueuelen: 500, dns: { nameservers: ["10.1.0.1"] } }],
  ])("one implementation checks and removes what the other made: mode %s", async (mode, more) => {
    const { node, outside } = await network();
    for (const [make, check] of [
      ["reference", "podwire"],
      ["podwire", "reference"],
    ] as const) {
      const config = macvlan(node, { mode, ...more, ipam: dualStack(node, { routes: [{ dst: "0.0.0.0/0" }] }) });
      const call = await callFor(node, config);
      const pod = call.netns as Namespace;
      const { result, exitCode } = await node[make]("ADD", call);
      expect(exitCode).toBe(0);
      const address = result!.ips![0]!.address.replace(/\/.*/, "");
      const checked = { ...call, config: { ...config, prevResult: result } };
      expect(await outside.ping(address)).toBe(true);
      expect(await node[check]("CHECK", checked)).toMatchObject({ exitCode: 0, stdout: "" });
      expect(await outside.ping(address)).toBe(true);
      // and sees what is not as it was
      await pod.ip("route delete default");
      expect(failure(await node[check]("CHECK", checked)).msg).not.toBe("");
      await pod.ip("route add default via 10.9.0.1");
      expect(await node[check]("CHECK", checked)).toMatchObject({ exitCode: 0 });
      await pod.ip("link set eth0 address 02:00:00:00:00:77");
      expect(failure(await node[check]("CHECK", checked)).msg).not.toBe("");
      expect(await node[check]("DEL", checked)).toMatchObject({ exitCode: 0 });
      expect([await pod.link("eth0"), node.leases()]).toEqual([undefined, {}]);
    }
  });
});

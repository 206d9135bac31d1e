import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { environment } from "../harness/invoke.ts";
import { after, wire } from "./chained.ts";
import { failure, programs, versions } from "./configs.ts";
import { type Call, type Namespace, Node, podwireFolder } from "./harness.ts";
import { MAC, all, tuning, state, tuned, backups, add, complaint } from "./tuning-calls.ts";

// What tuning sets, says and refuses.

describe("ADD", () => {
  test("sets everything, reports MAC and MTU; CHECK is content, also of bridge; DEL puts all back", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await state(wired.pod);
    const config = tuning(node);
    const result = await add(wired, config);
    expect(await state(wired.pod)).toEqual(tuned);
    const { interfaces = [], ...others } = wired.result;
    const expected = interfaces.map((one) => (one.name === "eth0" ? { ...one, mac: MAC, mtu: 1400 } : one));
    expect(result).toEqual({ ...others, interfaces: expected });
    expect(await complaint(wired, config, result)).toBe("");
    const bridge = {
      type: "bridge",
      bridge: "br0",
      isDefaultGateway: true,
      ipam: {
        type: "host-local",
        dataDir: node.dataDir,
        ranges: [[{ subnet: "10.9.0.0/24" }], [{ subnet: "fd00:9::/64" }]],
      },
    };
    expect(await complaint(wired, bridge, result)).toBe("");
    expect(await wired.pod.ping("10.9.0.1")).toBe(true);
    for (let times = 0; times < 2; times++) await node.succeed("DEL", after(wired.call(config), result));
    expect([await state(wired.pod), backups(node)]).toEqual([before, []]);
  });

  test.each(versions)("in version %s", async (version) => {
    const node = await Node.create();
    const wired = await wire(node, { version });
    const before = await state(wired.pod);
    const result = await add(wired, tuning(node));
    expect([result.cniVersion, await state(wired.pod)]).toEqual([version, tuned]);
    await node.succeed("DEL", after(wired.call(tuning(node)), version.startsWith("0.") ? undefined : result));
    expect(await state(wired.pod)).toEqual(before);
  });

  test.each<[string, object, Partial<Call>, object]>([
    ["nothing", {}, {}, {}],
    ["an empty dataDir", { dataDir: "" }, {}, {}],
    ["false and 0 of promisc and mtu", { promisc: false, mtu: 0 }, {}, {}],
    ["a MAC of CNI_ARGS", {}, { args: `IgnoreUnknown=1;MAC=${MAC.toUpperCase()};K8S_POD_NAME=x` }, { address: MAC }],
    ["the configuration's MAC", { mac: "02-00-00-00-00-99" }, {}, { address: MAC }],
    [
      "runtimeConfig before CNI_ARGS",
      { runtimeConfig: { Mac: MAC }, mac: "02:00:00:00:00:01" },
      { args: "MAC=02:00:00:00:00:02" },
      { address: MAC },
    ],
    [
      "args before all",
      {
        args: { cni: { mac: MAC, mtu: 1300, promisc: false, allmulti: true, txQLen: 7 } },
        runtimeConfig: { mac: "02:00:00:00:00:01" },
        mtu: 1200,
        promisc: true,
      },
      {},
      { address: MAC, mtu: 1300, allmulti: true, txqlen: 7 },
    ],
    [
      "sysctls of args without any of the configuration's",
      { args: { cni: { sysctl: { "net.core.somaxconn": "77" } } } },
      {},
      { somaxconn: "77" },
    ],
    [
      "sysctls merged key by key",
      {
        sysctl: { "net.core.somaxconn": "1", "net.ipv4.conf.IFNAME.arp_filter": "1" },
        args: { cni: { sysctl: { "net.core.somaxconn": "77" } } },
      },
      {},
      { somaxconn: "77", filter: "1" },
    ],
    ["one that can be written and not read", { sysctl: { "net.ipv4.route.flush": "1" } }, {}, {}],
    ["the interface by its name", { sysctl: { "net/ipv4/conf/eth0/arp_filter": "1" } }, {}, { filter: "1" }],
  ])("%s", async (_what, more, call, changed) => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await state(wired.pod);
    const result = await add(wired, tuning(node, more), call);
    expect(await state(wired.pod)).toEqual({ ...before, ...changed });
    const answer = await node.podwire("CHECK", { ...after(wired.call(tuning(node, more)), result), ...call });
    expect(answer.stdout).toBe("");
    await node.succeed("DEL", wired.call(tuning(node, {})));
    expect([await state(wired.pod), backups(node)]).toEqual([before, []]);
  });

  test("an interface whose name has a dot", async () => {
    const node = await Node.create();
    const wired = await wire(node, { ifname: "net.100" });
    await add(wired, tuning(node));
    expect(await state(wired.pod, "net.100")).toEqual(tuned);
  });

  test.each<[object, string | RegExp]>([
    [{ mac: "zz" }, 'mac is "zz", must be a MAC address'],
    [{ mac: "01:00:00:00:00:00" }, "mac is"],
    [{ runtimeConfig: { mac: 1 } }, "runtimeConfig.mac is 1"],
    [{ mtu: -1, txQLen: 1.5, promisc: 1 }, /promisc is 1.*mtu is -1.*txQLen is 1\.5/],
    [{ sysctl: { "net.core.somaxconn": 1 } }, /sysctl.*net\.core\.somaxconn.* is 1, must be text/],
    [{ sysctl: { "kernel.panic": "1" } }, 'sysctl key "kernel.panic" must name a sysctl below net'],
    [{ sysctl: { "net/../kernel/panic": "1" } }, "there is no /proc/sys/net/kernel/panic"],
    [{ args: { cni: { sysctl: { "net.": "1" } } } }, "must name a sysctl below net"],
    [{ sysctl: { "net.core.nosuch": "1" } }, /sysctl "net\.core\.nosuch": there is no \/proc\/sys\/net\/core\/nosuch/],
    [{ sysctl: { "net.core.somaxconn": "many" } }, 'cannot set sysctl "net.core.somaxconn" to "many"'],
    [
      { sysctl: { "net.core.somaxconn": "1", "net/core/somaxconn": "2" } },
      /^[^;]* are one sysctl, and must have one value$/,
    ],
    [{ mtu: 70_000_000, mac: MAC, sysctl: { "net.core.somaxconn": "5" } }, "cannot set mtu of link eth0 to 70000000"],
  ])("refuses %j, and changes nothing", async (more, words) => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await state(wired.pod);
    const { code, msg } = failure(await node.podwire("ADD", wired.call(tuning(node, more))));
    expect([code, msg]).toEqual([
      7,
      typeof words === "string" ? expect.stringContaining(words) : expect.stringMatching(words),
    ]);
    expect([await state(wired.pod), backups(node)]).toEqual([before, []]);
    await node.succeed("DEL", wired.call(tuning(node, more)));
  });

  test("refuses the same sysctl twice, a wrong MAC of CNI_ARGS, and an interface that is not there", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const twice = JSON.stringify(wired.call({ type: "tuning", sysctl: {} }).config).replace(
      '"sysctl":{}',
      '"sysctl":{"net.core.somaxconn":"1","net.core.somaxconn":"2"}',
    );
    expect(failure(await node.podwire("ADD", { ...wired.call({ type: "tuning" }), config: twice })).msg).toContain(
      'sysctl has the key "net.core.somaxconn" twice',
    );
    expect(failure(await node.podwire("ADD", wired.call(tuning(node), { args: "MAC=zz" })))).toMatchObject({
      code: 4,
      msg: expect.stringContaining('MAC is "zz"') as unknown,
    });
    expect(failure(await node.podwire("ADD", wired.call(tuning(node), { ifname: "eth7" }))).msg).toMatch(
      /cannot tune CNI_IFNAME "eth7"/,
    );
    expect(failure(await node.podwire("ADD", after(wired.call(tuning(node)), undefined))).msg).toMatch(
      /^prevResult is missing: tuning/,
    );
    expect(backups(node)).toEqual([]);
  });

  test("twice: DEL puts back what was there before the first", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await state(wired.pod);
    await add(wired, tuning(node, { mtu: 1400, sysctl: { "net.core.somaxconn": "5" } }));
    await add(wired, tuning(node, { ...all, mtu: 1300 }));
    expect(
      failure(await node.podwire("ADD", wired.call(tuning(node, { mac: "02:00:00:00:00:98", mtu: 70_000_000 })))).code,
    ).toBe(7);
    expect(await state(wired.pod)).toEqual({ ...tuned, mtu: 1300 });
    await node.succeed("DEL", wired.call(tuning(node)));
    expect(await state(wired.pod)).toEqual(before);
  });
});

describe("the allow list", () => {
  /** A verb on a node whose /etc holds nothing but an allow list. */
  async function listed(node: Node, list: string | undefined, verb: "ADD" | "CHECK" | "DEL", call: Call) {
    const folder = podwireFolder();
    const lay =
      list === undefined ? "" : 'mkdir -p /etc/cni/tuning; printf %s "$LIST" > /etc/cni/tuning/allowlist.conf;';
    const run = programs({
      listed: `unshare --mount sh -c 'mount -t tmpfs none /etc; ${lay} exec ${join(folder, "tuning")}'`,
    });
    const { exitCode, stdout } = await node.run(join(run, "listed"), [], {
      env: { ...environment(folder, verb, call), ...(list !== undefined && { LIST: list }) },
      input: JSON.stringify(call.config),
    });
    return exitCode === 0 ? "ok" : (JSON.parse(stdout) as { msg: string }).msg;
  }
  const one = { sysctl: { "net.core.somaxconn": "321" } };

  test.each<[string, string | undefined, object, string | RegExp]>([
    ["none", undefined, one, "ok"],
    ["a line that matches somewhere", "x\n  core\\.s  \n", one, "ok"],
    ["a line in Go's words", "^net\\.(?:core|ipv4)\\.[[:alpha:]]+$", one, "ok"],
    ["an escape nothing needs", "^net\\.core\\.some\\-thing$\n^net\\.core\\.soma[x\\-]conn", one, "ok"],
    ["no case", "(?i)^NET", one, "ok"],
    ["other lines", "^net\\.ipv4\nIFNAME", one, /^sysctl "net\.core\.somaxconn" is not allowed.*\^net\\\.ipv4, IFNAME/],
    [
      "the text of the key, not the sysctl",
      "^net\\.core",
      { sysctl: { "net/core/somaxconn": "1" } },
      /"net\/core\/somaxconn" is not allowed/,
    ],
    ["IFNAME as it is written", "IFNAME", { sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" } }, /is not allowed/],
    ["args too", "filter", { args: { cni: one } }, /"net\.core\.somaxconn" is not allowed/],
    ["an empty file", "", one, /the file is empty/],
    ["an empty file and no sysctl", "", { mtu: 1400 }, "ok"],
    ["a line that is no expression", "net(", one, /"net\(" is no regular expression/],
    ["what Go reads otherwise", "\\Anet", one, /is no regular expression that podwire can read/],
    ["a class that is not known", "[[:nosuch:]]", one, /is no regular expression that podwire can read/],
  ])("%s", async (_what, list, more, words) => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await state(wired.pod);
    const outcome = await listed(node, list, "ADD", wired.call(tuning(node, more)));
    expect(outcome).toEqual(typeof words === "string" ? words : expect.stringMatching(words));
    if (outcome !== "ok") expect([await state(wired.pod), backups(node)]).toEqual([before, []]);
  });

  test("is not asked by CHECK and DEL", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const result = await add(wired, tuning(node));
    for (const verb of ["CHECK", "DEL"] as const) {
      expect(await listed(node, "nothing", verb, after(wired.call(tuning(node)), result) as Call)).toBe("ok");
    }
  });
});

describe("CHECK", () => {
  test.each<[string, (pod: Namespace) => Promise<unknown>, string]>([
    [
      "MAC",
      async (pod) => pod.ip("link set eth0 address 02:00:00:00:00:01"),
      `mac of link eth0 is 02:00:00:00:00:01, not ${MAC}`,
    ],
    ["MTU", async (pod) => pod.ip("link set eth0 mtu 1399"), "mtu of link eth0 is 1399, not 1400"],
    ["promisc", async (pod) => pod.ip("link set eth0 promisc off"), "promisc of link eth0 is false, not true"],
    ["allmulti", async (pod) => pod.ip("link set eth0 allmulticast off"), "allmulti of link eth0 is false"],
    ["txQLen", async (pod) => pod.ip("link set eth0 txqueuelen 5"), "txQLen of link eth0 is 5, not 0"],
    ["a sysctl", async (pod) => pod.setSysctl("net/core/somaxconn", 5), 'sysctl net.core.somaxconn is "5", not 321'],
    ["the link", async (pod) => pod.ip("link delete eth0"), "link eth0 does not exist in the container"],
  ])("names what is not as ADD made it: %s", async (_what, harm, words) => {
    const node = await Node.create();
    const wired = await wire(node);
    const result = await add(wired, tuning(node));
    await harm(wired.pod);
    expect(await complaint(wired, tuning(node), result)).toContain(words);
  });

  test("does not mind what was not asked for", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const result = await add(wired, tuning(node, { mtu: 1400 }));
    await wired.pod.ip("link set eth0 promisc on");
    expect(await complaint(wired, tuning(node, { mtu: 1400 }), result)).toBe("");
  });
});

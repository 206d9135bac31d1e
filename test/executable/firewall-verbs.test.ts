import { describe, expect, test } from "vitest";
import {
  bareEnvironment,
  bridge,
  callFor,
  type Config,
  dualStack,
  failure,
  macvlan,
  ptp,
  refusal,
  watchedTools,
} from "./configs.ts";
import { call, complaint, nodeWithPod, previous, rules, withoutPrevious } from "./firewall-calls.ts";
import { type Answer, type CniResult, type Namespace, Node, reference, type Verb } from "./harness.ts";

// What firewall says and leaves behind; packets are in firewall.test.ts.

const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

const backends = ["nftables", "iptables"];

describe("firewall ADD", () => {
  test.each(versions)("prints the earlier result unchanged: %s", async (version) => {
    const node = await Node.create();
    const { result } = await node.succeed("ADD", call({}, version));
    expect(result).toEqual(previous(version));
    expect(await rules(node)).toMatch(/10\.9\.0\.5 comment "net pod-5 eth0"/);
  });

  test("needs the result of an earlier plugin, and with a policy its bridge", async () => {
    const node = await Node.create();
    const before = await rules(node);
    expect(failure(await node.podwire("ADD", call({ prevResult: undefined })))).toMatchObject({
      code: 7,
      msg: expect.stringContaining("prevResult is missing") as unknown,
    });
    const bridgeless = call({
      ingressPolicy: "isolated",
      prevResult: { ...previous("1.1.0"), interfaces: [], ips: [] },
    });
    expect(failure(await node.podwire("ADD", bridgeless)).msg).toContain(
      'prevResult.interfaces[0].name: must be the bridge of "isolated"',
    );
    expect(await rules(node)).toBe(before);
    // a link alone has no addresses to let through
    const linkAlone = call({ ingressPolicy: "isolated", prevResult: { ...previous("1.1.0"), ips: [] } });
    expect((await node.succeed("ADD", linkAlone)).result).toEqual({ ...previous("1.1.0"), ips: undefined });
    await node.succeed("DEL", linkAlone);
  });

  test("names every wrong key, and changes nothing", async () => {
    const node = await Node.create();
    const before = await rules(node);
    const wrong = { backend: "iptable", ingressPolicy: "closed", iptablesAdminChainName: "a b", firewalldZone: 7 };
    const { code, msg } = failure(await node.podwire("ADD", call(wrong)));
    expect(code).toBe(7);
    for (const words of [
      'backend is "iptable", must be "nftables" or "iptables" or "firewalld"',
      'ingressPolicy is "closed", must be "open" or "same-bridge" or "isolated"',
      'iptablesAdminChainName is "a b", must be the name of an iptables chain',
      "firewalldZone is 7, must be the name of a zone",
    ]) {
      expect(msg).toContain(words);
    }
    expect(await rules(node)).toBe(before);
    await node.succeed("DEL", call(wrong));
  });

  test("takes empty keys for absent ones, and an administrator's chain of 28 characters, not of 29", async () => {
    const node = await Node.create();
    for (const empty of ["", null]) {
      const keys = { backend: empty, ingressPolicy: empty, iptablesAdminChainName: empty, firewalldZone: empty };
      await node.succeed("ADD", call(keys));
      expect(await rules(node)).toContain("-j CNI-ADMIN");
      await node.succeed("DEL", call(keys));
    }
    const named = (length: number) => call({ backend: "iptables", iptablesAdminChainName: "A".repeat(length) });
    await node.succeed("ADD", named(28));
    const before = await rules(node);
    expect(failure(await node.podwire("ADD", named(29))).msg).toMatch(/iptablesAdminChainName is "A{29}"/);
    expect(await rules(node)).toBe(before);
  });

  test("by firewalld where there is none: ADD says so and leaves nothing of the pod's, DEL succeeds", async () => {
    const node = await Node.create();
    const given = { ...call({ backend: "firewalld" }), env: { DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/nowhere" } };
    expect(failure(await node.podwire("ADD", given)).msg).toMatch(/firewalld/);
    expect(await rules(node)).not.toMatch(/10\.9\.0\.5|fd00:9::5/);
    await node.succeed("DEL", given);
  });

  test.each(["nftables", "iptables"])(
    "is for every interface of the container, and none of the host's: %s",
    async (backend) => {
      const node = await Node.create();
      const prevResult = {
        ...previous("1.1.0"),
        interfaces: [{ name: "br0" }, { name: "net7", sandbox: "/run/netns/pod" }],
        ips: [
          { address: "10.9.0.1/24", interface: 0 },
          { address: "10.9.0.7/24", interface: 1 },
        ],
      };
      const given = call({ backend, prevResult });
      await node.succeed("ADD", given);
      expect(await complaint(node, given)).toBe("");
      const made = await rules(node);
      expect([made.includes("10.9.0.7"), made.includes("10.9.0.1/32")]).toEqual([true, false]);
      await node.succeed("DEL", withoutPrevious(given));
      expect(await rules(node)).not.toContain("10.9.0.7");
    },
  );

  test.each(["nftables", "iptables"])(
    "is for every address of a result that has no sandbox at all, as another's plugin may print it: %s",
    async (backend) => {
      const node = await Node.create();
      const ips = ["10.9.0.7/24", "fd00:9::7/64"].map((address) => ({ address, interface: 0 }));
      const given = call({ backend, prevResult: { ...previous("1.1.0"), interfaces: [{ name: "net7" }], ips } });
      await node.succeed("ADD", given);
      expect(await complaint(node, given)).toBe("");
      const made = await rules(node);
      expect([made.includes("10.9.0.7"), made.includes("fd00:9::7")]).toEqual([true, true]);
      await node.succeed("DEL", withoutPrevious(given));
      expect(await rules(node)).not.toMatch(/10\.9\.0\.7|fd00:9::7/);
    },
  );

  test("a zone that firewalld may not know is nothing to the others", async () => {
    const node = await Node.create();
    const given = call({ backend: "iptables", firewalldZone: "a.name-no-zone-of-firewalld-can-have" });
    await node.succeed("ADD", given);
    expect(await complaint(node, given)).toBe("");
  });

  test("starts a program on a node's first pod, and none after that", async () => {
    const node = await nodeWithPod({});
    const tools = watchedTools();
    await node.succeed("ADD", { ...call({ ingressPolicy: "isolated" }), env: tools.env });
    await node.succeed("CHECK", { ...call({ ingressPolicy: "isolated" }), env: tools.env });
    await node.succeed("DEL", { ...call({ ingressPolicy: "isolated" }), env: tools.env });
    expect(tools.started()).toEqual([]);
  });

  test("works without iptables on the node, which then has no FORWARD chain either", async () => {
    const node = await Node.create();
    await node.succeed("ADD", { ...call(), env: bareEnvironment() });
    expect(await node.rulesetText()).not.toContain("table ip filter");
    expect(await complaint(node, { ...call(), env: bareEnvironment() })).toBe("");
    expect(await complaint(node, call())).toContain("iptables table filter (IPv4): lacks FORWARD -m comment");
    await node.succeed("ADD", call());
    expect(await complaint(node, call())).toBe("");
  });

  test("of an address that another pod has in another network: by iptables each has rules of its own", async () => {
    const node = await Node.create();
    const backend = "iptables";
    const other = { ...call({ backend, name: "other" }), containerId: "elsewhere" };
    await node.succeed("ADD", call({ backend }));
    await node.succeed("ADD", other);
    await node.succeed("DEL", other);
    expect(await complaint(node, call({ backend }))).toBe("");
  });
});

describe("an address another pod is let through with", () => {
  const static4 = { type: "static", addresses: [{ address: "10.9.0.77/24" }] };

  /** A pod with the address, wired by podwire or by the reference, and let through as one of the network. */
  async function wire(node: Node, config: Config, by: "podwire" | "reference" = "podwire") {
    const to = await callFor(node, config);
    const { result, stdout } = await node[by]("ADD", to);
    if (!result) throw new Error(stdout);
    const { cniVersion, name } = config;
    return { ...to, plugin: "firewall", config: { cniVersion, name, type: "firewall", prevResult: result } as Config };
  }

  test.each<[string, (node: Node, name: string) => Config, "podwire" | "reference"]>([
    ["bridge", (node, name) => bridge(node, { name, bridge: `br-${name}`, ipam: static4 }), "podwire"],
    [
      "the reference's bridge",
      (node, name) => bridge(node, { name, bridge: `br-${name}`, ipam: static4 }),
      "reference",
    ],
    ["macvlan", (node, name) => macvlan(node, { name, ipam: static4 }), "podwire"],
    ["the reference's macvlan", (node, name) => macvlan(node, { name, ipam: static4 }), "reference"],
  ])("stays with it behind %s as long as it lives, and is free when it is gone", async (_what, config, by) => {
    const node = await Node.create();
    await node.outside();
    const [first, second] = [await wire(node, config(node, "one"), by), await wire(node, config(node, "two"), by)];
    await node.succeed("ADD", first);
    await node.succeed("ADD", first); // the same attachment again
    expect(await refusal(node, second)).toMatchObject({
      code: 11,
      msg: `10.9.0.77 is let through for another attachment: container ${first.containerId} (interface eth0, network one)`,
    });
    expect(await complaint(node, first)).toBe("");
    expect(await node.rulesetText()).toContain(`10.9.0.77 comment "one ${first.containerId} eth0"`);
    await (first.netns as Namespace).ip("link delete eth0"); // a namespace that is let go is not gone at once
    await (first.netns as Namespace).remove();
    await node.succeed("ADD", second);
    expect(await complaint(node, second)).toBe("");
    await node.succeed("DEL", first);
    expect(await complaint(node, second)).toBe("");
  });

  test("stays where nobody can tell whether its pod lives, until its DEL", async () => {
    const node = await Node.create();
    await node.succeed("ADD", call());
    const other = { ...call({ name: "other" }), containerId: "elsewhere" };
    expect((await refusal(node, other)).msg).toContain("container pod-5 (interface eth0, network net)");
    await node.succeed("DEL", call());
    await node.succeed("ADD", other);
  });
});

describe.each(backends)("what firewall makes by %s", (backend) => {
  test.each([
    ["with all it was told", {}, {}],
    ["without namespace and earlier result", { netns: "" }, { prevResult: undefined }],
    ["with a configuration that is wrong", {}, { ingressPolicy: "closed", firewalldZone: 7 }],
  ])("goes by DEL %s, and again", async (_how, more, keys) => {
    // policies of bridges are shared where iptables has them
    const policy = backend === "nftables" ? { ingressPolicy: "isolated" } : {};
    const node = await nodeWithPod({ backend });
    const before = await rules(node);
    const given = call({ backend, ...policy });
    await node.succeed("ADD", given);
    expect(await rules(node)).not.toBe(before);
    for (let times = 0; times < 2; times++) {
      const answer = await node.succeed("DEL", { ...given, ...more, config: { ...given.config, ...keys } });
      expect([answer.stdout, answer.stderr.replace(/.*ignored in the configuration.*\n/g, "")]).toEqual(["", ""]);
      expect(await rules(node)).toBe(before);
    }
  });

  test("goes by GC, where it is not valid any more", async () => {
    const node = await nodeWithPod({ backend, ingressPolicy: "same-bridge" });
    await node.succeed("ADD", call({ backend, name: "other" }, "1.1.0", 8));
    const before = await rules(node);
    await node.succeed("ADD", call({ backend, ingressPolicy: "same-bridge" }));
    const valid = [{ containerID: "pod-9", ifname: "eth0" }];
    const gc = { backend, prevResult: undefined, "cni.dev/valid-attachments": valid };
    await node.succeed("GC", { plugin: "firewall", config: call(gc).config });
    expect(await rules(node)).toBe(before);
    expect(await complaint(node, call({ backend, ingressPolicy: "same-bridge" }, "1.1.0", 9))).toBe("");
  });

  test("is missed by CHECK", async () => {
    const node = await Node.create();
    const given = call({ backend, ingressPolicy: "isolated" });
    await node.succeed("ADD", given);
    expect(await complaint(node, given)).toBe("");
    const damages: [string[], RegExp][] = [
      [["iptables", "-D", "FORWARD", "1"], /lacks FORWARD/],
      [["ip6tables", "-F", "CNI-FORWARD"], /IPv6.*lacks CNI-FORWARD/],
      ...(backend === "iptables"
        ? ([
            [["iptables", "-F", "CNI-ISOLATION-STAGE-2"], /lacks CNI-ISOLATION-STAGE-2 -o br0/],
            [["iptables", "-D", "CNI-FORWARD", "-s", "10.9.0.5", "-j", "ACCEPT"], /lacks CNI-FORWARD -s 10\.9\.0\.5/],
          ] as [string[], RegExp][])
        : ([
            [["nft", "delete element inet podwire accepted4 { 10.9.0.5 }"], /10\.9\.0\.5 in set accepted4 is missing/],
            [["nft", 'delete element inet podwire closed { "br0" }'], /br0 in set closed is missing/],
            [["nft", "flush chain inet podwire forward"], /rule "iifname \. oifname @isolated drop" is missing/],
          ] as [string[], RegExp][])),
    ];
    for (const [[command, ...args], words] of damages) {
      await node.must(command!, ...args);
      expect(await complaint(node, given)).toMatch(words);
      await node.succeed("ADD", given); // the same again mends it
      expect(await complaint(node, given)).toBe("");
    }
  });

  test("STATUS says whether it can be made", async () => {
    const node = await Node.create();
    expect((await node.succeed("STATUS", { plugin: "firewall", config: call({ backend }).config })).stdout).toBe("");
    const bare = await node.podwire("STATUS", {
      plugin: "firewall",
      config: call({ backend }).config,
      env: bareEnvironment(),
    });
    if (backend === "nftables") expect(bare.exitCode).toBe(0);
    else expect(failure(bare)).toMatchObject({ code: 50, msg: expect.stringContaining("iptables-save") as unknown });
  });
});

test("the administrator's chain has the name that was given, one for each network", async () => {
  const node = await Node.create();
  await node.succeed("ADD", call({ iptablesAdminChainName: "FIRST" }));
  await node.succeed("ADD", call({ iptablesAdminChainName: "SECOND", name: "two" }, "1.1.0", 6));
  const lines = (await rules(node)).split("\n").filter((line) => line.includes("admin overrides"));
  expect(lines.map((line) => line.replace(/.* -j /, ""))).toEqual(["SECOND", "FIRST", "SECOND", "FIRST"]);
});

describe.runIf(reference.newest)("where the reference has been", () => {
  const isAccepted = async (node: Node): Promise<boolean> => (await rules(node)).includes("10.9.0.5");

  /** What a sequence of verbs answered, and the rules of table filter after each, without podwire's own. */
  async function transcript(by: "podwire" | "reference", version: string, policy: string): Promise<unknown[]> {
    const isOld = version.startsWith("0.3");
    const node = await Node.create();
    const steps: unknown[] = [];
    const step = async (verb: Verb, host: number, bridge: string): Promise<void> => {
      const given = call({ backend: "iptables", ingressPolicy: policy }, version, host);
      // a runtime has no result to give with such a DEL, and makes no CHECK
      const config = isOld && verb === "DEL" ? { ...given.config, prevResult: undefined } : given.config;
      if (isOld && verb === "CHECK") return;
      const text = JSON.stringify(config).replaceAll('"br0"', `"${bridge}"`);
      const { exitCode, result } = await node[by](verb, { ...given, config: text });
      const lines = (await rules(node)).split("\n").filter((line) => !line.includes("--ctstate DNAT"));
      steps.push({ verb, host, exitCode, result, lines: lines.filter((line) => line !== "") });
    };
    for (const [host, bridge] of [
      [5, "br0"],
      [6, "br1"],
      [7, "br0"],
    ] as const) {
      await step("ADD", host, bridge);
      await step("CHECK", host, bridge);
    }
    await step("ADD", 5, "br0");
    for (const host of [5, 5, 7]) await step("DEL", host, "br0");
    await step("ADD", 5, "br1");
    return steps;
  }

  const policies = ["open", "same-bridge", "isolated"];
  const cases = ["0.4.0", "1.0.0", "1.1.0"].flatMap((version) => policies.map((policy) => [version, policy] as const));
  test.each(cases)("iptables has the same rules after the same calls: %s, %s", async (version, policy) => {
    const [mine, theirs] = await Promise.all([
      transcript("podwire", version, policy),
      transcript("reference", version, policy),
    ]);
    expect(mine).toEqual(theirs);
  });

  // the reference's plugin cannot stand in such a list: its rules are the next version's
  test.each(policies)("in a list of 0.3.1, whose DEL has no result, it leaves the same rules: %s", async (policy) => {
    const old = await transcript("podwire", "0.3.1", policy);
    const theirs = (await transcript("reference", "0.4.0", policy)) as { verb: string; result?: CniResult }[];
    const asked = theirs
      .filter(({ verb }) => verb !== "CHECK")
      .map(({ result, ...step }) => ({ ...step, ...(result && { result: { ...result, cniVersion: "0.3.1" } }) }));
    expect(old).toEqual(asked);
  });

  test.each([undefined, "iptables"])("its pod is content and goes, backend %s", async (backend) => {
    const node = await Node.create();
    const more = { ingressPolicy: "isolated", ...(backend && { backend }) };
    const made = await node.reference("ADD", call(more));
    expect(made.exitCode).toBe(0);
    expect(await complaint(node, call(more))).toBe("");
    await node.must("iptables", "-D", "CNI-FORWARD", "-s", "10.9.0.5", "-j", "ACCEPT");
    expect(await complaint(node, call(more))).not.toBe("");
    expect(await isAccepted(node)).toBe(true);
    await node.succeed("DEL", call(more));
    expect(await isAccepted(node)).toBe(false);
    expect(await node.succeed("DEL", withoutPrevious(call(more)))).toMatchObject({ stderr: "" });
  });

  const wired: [string, (node: Node) => Config][] = [
    ["bridge", (node) => bridge(node, { ipam: dualStack(node) })],
    ["ptp", (node) => ptp(node, { ipam: dualStack(node) })],
  ];
  const ways = ["prevResult", "prevResult and namespace"];
  test.each(wired.flatMap(([type, config]) => ways.map((way) => [type, way, config] as const)))(
    "its rules go with its pod, which a list's DEL removes: %s, without %s",
    async (_type, way, config) => {
      const node = await Node.create();
      const pods = await Promise.all(
        ["pod-5", "pod-6"].map(async (containerId) => callFor(node, config(node), { containerId })),
      );
      for (const pod of pods) {
        const { result } = await node.reference("ADD", pod);
        const chained = { ...call({ backend: "iptables", prevResult: result }).config };
        const made = await node.reference("ADD", { ...pod, plugin: "firewall", config: chained });
        expect(made.exitCode).toBe(0);
      }
      const [going, staying] = ["2", "3"].map((host) => new RegExp(`10\\.9\\.0\\.${host}/|fd00:9::${host}/`));
      expect(await rules(node)).toMatch(going!);
      const { netns, containerId } = pods[0]!;
      if (way !== "prevResult") await (netns as Namespace).remove();
      const to = { containerId: containerId!, ...(way === "prevResult" && { netns }) };
      await node.succeed("DEL", { ...withoutPrevious(call()), ...to });
      await node.succeed("DEL", { plugin: pods[0]!.plugin, config: config(node), ...to });
      expect(await rules(node)).not.toMatch(going!);
      expect(await rules(node)).toMatch(staying!);
    },
  );

  test("podwire's pod by iptables is content and goes, but for what is podwire's own", async () => {
    const node = await Node.create();
    const given = call({ backend: "iptables", ingressPolicy: "same-bridge" });
    await node.succeed("ADD", given);
    const steps: Answer[] = [await node.reference("CHECK", given), await node.reference("DEL", given)];
    expect(steps.map(({ exitCode, stdout }) => [exitCode, stdout])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    const left = (await rules(node)).split("\n").filter((line) => line.includes("10.9.0.5"));
    expect(left).toEqual([
      '-A CNI-FORWARD -d 10.9.0.5/32 -m conntrack --ctstate DNAT -m comment --comment "podwire: net pod-5 eth0" -j ACCEPT',
    ]);
    await node.succeed("GC", {
      plugin: "firewall",
      config: call({ backend: "iptables", prevResult: undefined, "cni.dev/valid-attachments": [] }).config,
    });
    expect(await isAccepted(node)).toBe(false);
  });

  test("podwire's pod that the reference deleted is in nobody's way when its address comes round", async () => {
    const node = await Node.create();
    const given = call({ backend: "iptables" });
    await node.succeed("ADD", given);
    expect(await node.reference("DEL", given)).toMatchObject({ exitCode: 0 });
    const heir = { ...given, containerId: "heir" };
    await node.succeed("ADD", heir);
    expect(await rules(node)).not.toContain("podwire: net pod-5 eth0");
    expect(await complaint(node, heir)).toBe("");
    await node.succeed("DEL", heir);
    expect(await isAccepted(node)).toBe(false);
  });

  test("pods of both live side by side, and each keeps its own", async () => {
    const node = await Node.create();
    await node.reference("ADD", call({ backend: "iptables" }, "1.1.0", 7));
    const before = await rules(node);
    await node.succeed("ADD", call({ backend: "iptables" }));
    await node.succeed("DEL", call({ backend: "iptables" }));
    expect(await rules(node)).toBe(before);
    expect(await complaint(node, call({ backend: "iptables" }, "1.1.0", 7))).toBe("");
  });
});

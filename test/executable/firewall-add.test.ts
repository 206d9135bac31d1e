import { describe, expect, test } from "vitest";
import {
  bareEnvironment,
  bridge,
  callFor,
  type Config,
  failure,
  macvlan,
  refusal,
  watchedTools,
  versions,
} from "./configs.ts";
import { call, complaint, nodeWithPod, previous, rules, withoutPrevious } from "./firewall-calls.ts";
import { type Namespace, Node } from "./harness.ts";

// What firewall's ADD says, lets through and refuses; packets are in firewall.test.ts.

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

  test("by firewalld without busctl to ask it by: STATUS is 50, DEL succeeds", async () => {
    const node = await Node.create();
    const given = { ...call({ backend: "firewalld" }), env: bareEnvironment() };
    const error = { code: 50, msg: expect.stringContaining("busctl") as unknown };
    expect(failure(await node.podwire("STATUS", given))).toMatchObject(error);
    await node.succeed("DEL", given);
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

import { describe, expect, test } from "vitest";
import { after, wire, type Wired } from "./chained.ts";
import { failure } from "./configs.ts";
import { Node } from "./harness.ts";
import { add, complaint, ifbs, redirects, shapers } from "./shapers.ts";

// What bandwidth says, makes and leaves; rates are measured in bandwidth-rates.test.ts.

const limits = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 4_000_000, egressBurst: 400_000 };
const both = { type: "bandwidth", ...limits };
const shaped = ["bwp tbf 500000 50000", "veth ingress", "veth tbf 1000000 100000"];
describe("ADD", () => {
  test("shapes both directions and reports the ifb", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const result = await add(wired, both);
    expect(await shapers(node)).toEqual(shaped);
    const [ifb] = await ifbs(node);
    expect(ifb).toEqual({ name: "bwp6230a40fd8ff", alias: "podwire: bandwidth net pod eth0" });
    expect(await redirects(node, wired.hostVeth)).toEqual([ifb!.name]);
    const link = (await node.link(ifb!.name))!;
    expect([link.mtu, link.flags.includes("UP"), link.txqlen]).toEqual([1500, true, undefined]);
    const { interfaces = [], ...others } = result;
    const { interfaces: before = [], ...othersBefore } = wired.result;
    expect(interfaces).toEqual([...before, { name: ifb!.name, mac: link.address, mtu: 1500 }]);
    expect(others).toEqual(othersBefore);
    expect(await complaint(wired, both, result)).toBe("");
  });

  test.each([
    ["ingress alone", { ingressRate: 8_000_000, ingressBurst: 800_000 }, ["veth tbf 1000000 100000"], 3],
    [
      "egress alone",
      { egressRate: 800, egressBurst: 80_000, ingressRate: 0 },
      ["bwp tbf 100 10000", "veth ingress"],
      4,
    ],
    [
      "keys of other versions of the reference",
      { ingressRate: 8_000_000, ingressBurst: 800_000, shapedSubnets: ["10.0.0.0/8"], unshapedSubnets: ["x"] },
      ["veth tbf 1000000 100000"],
      3,
    ],
    ["nothing", {}, [], 3],
    ["zeros", { ingressRate: 0, ingressBurst: 0, egressRate: 0, egressBurst: 0 }, [], 3],
    [
      "what containerd sends",
      {
        runtimeConfig: {
          bandwidth: { IngressRate: 8_000_000, IngressBurst: 0x1_0000_0000 - 1, EgressRate: 0, EgressBurst: 0 },
        },
      },
      ["veth tbf 1000000 274877906"],
      3,
    ],
    [
      "both places: the configuration counts",
      { ingressRate: 800, ingressBurst: 80_000, runtimeConfig: { bandwidth: limits } },
      ["veth tbf 100 10000"],
      3,
    ],
    [
      "both places: what does not count need not be right",
      { ingressRate: 800, ingressBurst: 80_000, runtimeConfig: { bandwidth: { EgressRate: 80 } } },
      ["veth tbf 100 10000"],
      3,
    ],
    ["a null in the configuration counts", { EgressBurst: null, runtimeConfig: { bandwidth: limits } }, [], 3],
    [
      "more than 32 bits of it",
      { ingressRate: 80_000_000_000, ingressBurst: 8_000_000_000 },
      ["veth tbf 10000000000 1000000000"],
      3,
    ],
  ])("%s", async (_what, config, expected, interfaces) => {
    const node = await Node.create();
    const wired = await wire(node);
    const result = await add(wired, { type: "bandwidth", ...config });
    expect(await shapers(node)).toEqual(expected);
    expect(result.interfaces).toHaveLength(interfaces);
    expect(await complaint(wired, { type: "bandwidth", ...config }, result)).toBe("");
    await node.succeed("DEL", wired.call({ type: "bandwidth" }));
    expect([await shapers(node), await ifbs(node)]).toEqual([[], []]);
  });

  test.each([
    ["ingressRate", { ingressBurst: 80 }, "ingressRate is missing, must be above 0: ingressBurst is 80"],
    ["egressBurst", { egressRate: 80, egressBurst: 0 }, "egressBurst is 0, must be above 0: egressRate is 80"],
    ["egressRate", { egressRate: 7, egressBurst: 80 }, "egressRate is 7, must be 0 (no limit) or at least 8"],
    ["ingressRate", { ingressRate: -1 }, "ingressRate is -1, must be a whole number"],
    ["ingressRate", { ingressRate: "1M", ingressBurst: 1 }, 'ingressRate is "1M", must be a whole number'],
    [
      "ingressBurst",
      { ingressRate: 1e6, ingressBurst: 34_359_738_360 },
      "ingressBurst is 34359738360, must be a whole",
    ],
    ["ingressBurst", { ingressRate: 80e9, ingressBurst: 8000 }, "ingressBurst is 8000, must be at least 80000 bits"],
    ["runtimeConfig.bandwidth.egressBurst", { runtimeConfig: { bandwidth: { EgressRate: 80 } } }, "must be above 0"],
  ])("refuses a wrong %s and names it", async (key, config, words) => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await node.snapshot();
    for (const verb of ["ADD", "CHECK", "STATUS"] as const) {
      const { code, msg } = failure(await node.podwire(verb, wired.call({ type: "bandwidth", ...config })));
      expect([code, msg]).toEqual([7, expect.stringContaining(words)]);
      expect(msg).toContain(key);
    }
    expect(await node.snapshot()).toEqual(before);
    await node.succeed("DEL", wired.call({ type: "bandwidth", ...config }));
  });

  test("needs prevResult, and a veth of the pod whose other end is on the host", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    for (const config of [both, { type: "bandwidth" }]) {
      const { code, msg } = failure(await node.podwire("ADD", after(wired.call(config), undefined)));
      expect([code, msg]).toEqual([7, expect.stringMatching(/^prevResult is missing: bandwidth must be called after/)]);
    }
    const loopback = wired.call(both, { ifname: "lo" });
    expect(failure(await node.podwire("ADD", loopback)).msg).toMatch(/CNI_IFNAME "lo" in .*: it is no veth/);
    expect(await shapers(node)).toEqual([]);
  });

  test("twice is an error, which leaves the first as it is; after DEL it works again", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const result = await add(wired, both);
    for (const config of [both, { ...both, egressRate: 0, egressBurst: 0 }]) {
      expect(failure(await node.podwire("ADD", wired.call(config)))).toMatchObject({
        code: 7,
        msg: expect.stringMatching(/link (bwp|veth)\w+ is there or is shaped already; DEL comes first/) as unknown,
      });
    }
    expect([await shapers(node), await complaint(wired, both, result)]).toEqual([shaped, ""]);
    await node.succeed("DEL", wired.call(both));
    expect(await shapers(node)).toEqual([]);
    await add(wired, both);
    expect(await shapers(node)).toEqual(shaped);
  });

  test("takes back what it made where the link is shaped by somebody else", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    await node.must(
      "tc",
      ..."qdisc add dev X root handle 7: tbf rate 1mbit burst 10kb lat 1s".replace("X", wired.hostVeth).split(" "),
    );
    const before = await node.snapshot();
    expect((await node.podwire("ADD", wired.call(both))).exitCode).toBe(1);
    expect(await node.snapshot()).toEqual(before);
    await node.succeed("DEL", wired.call(both));
    expect(await node.snapshot()).toEqual(before);
  });

  test("warns of a burst no whole packet fits into", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const { stderr } = await node.succeed("ADD", wired.call({ ...both, egressBurst: 8000 }));
    expect(stderr).toMatch(/a burst of 1000 bytes is less than a packet of link veth\w+ \(MTU 1500\)/);
  });
});

describe("CHECK names what is not as ADD made it", () => {
  test.each<[string, (wired: Wired, ifb: string) => Promise<unknown>, string]>([
    [
      "no shaper",
      async ({ node, hostVeth }) => node.must("tc", "qdisc", "del", "dev", hostVeth, "root"),
      "is not shaped to 1000000 bytes",
    ],
    [
      "another rate",
      async ({ node }, ifb) =>
        node.must(
          "tc",
          "qdisc",
          "replace",
          "dev",
          ifb,
          "root",
          "handle",
          "1:",
          "tbf",
          "rate",
          "1mbit",
          "burst",
          "50000",
          "limit",
          "62500",
        ),
      "has rate 125000, not 500000",
    ],
    ["no ifb", async ({ node }, ifb) => node.ip(`link delete ${ifb}`), "the ifb for what the pod sends does not exist"],
    ["an ifb that is down", async ({ node }, ifb) => node.ip(`link set ${ifb} down`), "is down"],
    [
      "no redirection",
      async ({ node, hostVeth }) => node.must("tc", "qdisc", "del", "dev", hostVeth, "ingress"),
      "is not led to bwp",
    ],
  ])("%s", async (_what, harm, words) => {
    const node = await Node.create();
    const wired = await wire(node);
    const result = await add(wired, both);
    await harm(wired, (await ifbs(node))[0]!.name);
    expect(await complaint(wired, both, result)).toContain(words);
    await node.succeed("DEL", wired.call(both));
    expect([await shapers(node), await ifbs(node)]).toEqual([[], []]);
  });
});

describe("DEL", () => {
  test.each<[string, (wired: Wired) => Promise<object>]>([
    ["without prevResult, limits and namespace", async () => ({ netns: "" })],
    ["when the namespace is gone, and the link with it", async ({ pod }) => (await pod.vanish(), {})],
    ["with a configuration that no longer validates", async () => ({})],
  ])("%s", async (what, prepare) => {
    const node = await Node.create();
    const wired = await wire(node);
    await add(wired, both);
    const more = await prepare(wired);
    const config = what.startsWith("with a")
      ? { ...both, egressBurst: "x" }
      : { type: "bandwidth", prevResult: undefined };
    for (let times = 0; times < 2; times++) await node.succeed("DEL", wired.call(config, more));
    expect([await shapers(node), await ifbs(node)]).toEqual([[], []]);
  });

  test("leaves another pod's limits alone, also where CNI_NETNS is that pod's", async () => {
    const node = await Node.create();
    const [mine, other] = [await wire(node), await wire(node, { containerId: "other" })];
    await add(other, both);
    await node.succeed("DEL", mine.call({ type: "bandwidth", prevResult: undefined }, { netns: other.pod }));
    await node.succeed("DEL", { ...mine.call(both), containerId: "third", netns: other.pod });
    expect(await shapers(node)).toEqual(shaped);
  });
});

test("two interfaces of one container have an ifb each, and neither's DEL takes the other's", async () => {
  const node = await Node.create();
  const first = await wire(node);
  const second = await wire(node, { netns: first.pod, ifname: "net1" });
  await add(first, both);
  const result = await add(second, both);
  const names = (await ifbs(node)).map(({ name }) => name);
  expect(new Set(names).size).toBe(2);
  expect([await redirects(node, first.hostVeth), await redirects(node, second.hostVeth)]).toEqual(
    names.map((name) => [name]),
  );
  expect(await complaint(second, both, result)).toBe("");
  await node.succeed("DEL", first.call(both));
  expect(await complaint(second, both, result)).toBe("");
  await node.succeed("DEL", second.call(both));
  expect(await shapers(node)).toEqual([]);
});

describe("GC", () => {
  const gc = async (node: Node, name: string, valid: object[]) =>
    node.succeed("GC", {
      plugin: "bandwidth",
      config: { cniVersion: "1.1.0", name, type: "bandwidth", "cni.dev/valid-attachments": valid },
    });
  test("removes the limits of attachments that are not valid, of this network alone", async () => {
    const node = await Node.create();
    const [kept, lost] = [await wire(node), await wire(node, { containerId: "lost" })];
    for (const each of [kept, lost]) await add(each, both);
    await gc(node, "ne", []);
    expect(await shapers(node)).toEqual([...shaped, ...shaped].toSorted());
    await gc(node, "net", [{ containerID: "pod", ifname: "eth0" }]);
    expect([await shapers(node), (await ifbs(node)).map(({ alias }) => alias)]).toEqual([
      shaped,
      ["podwire: bandwidth net pod eth0"],
    ]);
    expect(await redirects(node, kept.hostVeth)).toHaveLength(1);
    await gc(node, "net", []);
    expect(await shapers(node)).toEqual([]);
  });
});

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { v4, v6 } from "./configs.ts";
import { type Answer, type Call, Node, reference, type Verb } from "./harness.ts";

// The same calls on podwire and on the reference, each in a folder of its own: the same results, and the same files.

interface Step {
  verb: Verb;
  id: string;
  ifname?: string;
  args?: string;
  /** keys beside `ipam` and keys inside it, for this step */
  config?: object;
  ipam?: object;
}

interface Sequence {
  name: string;
  ipam: object;
  steps: Step[];
  /** files that are there at first */
  files?: Record<string, string>;
}

const add = (id: string, more: Partial<Step> = {}): Step => ({ verb: "ADD", id, ...more });
const del = (id: string, more: Partial<Step> = {}): Step => ({ verb: "DEL", id, ...more });
const check = (id: string, more: Partial<Step> = {}): Step => ({ verb: "CHECK", id, ...more });

const sequences: Sequence[] = [
  {
    name: "dual stack: addresses that were released wait for their turn",
    ipam: { ranges: [[v4], [v6]] },
    steps: [
      add("a"),
      add("b"),
      check("b"),
      del("a"),
      add("c"),
      add("a"),
      check("x"),
      del("b"),
      del("b"),
      add("b"),
      del("never"),
    ],
  },
  {
    name: "a small range: full, one released, around",
    ipam: { subnet: "10.9.0.0/29" },
    steps: [..."abcdef"]
      .map((id) => add(id))
      .concat(del("b"), add("g"), del("d"), add("h"), add("i"), del("a"), del("c"), add("j"), add("k")),
  },
  {
    name: "several ranges in a set, gateways inside them",
    ipam: {
      ranges: [
        [
          { ...v4, rangeStart: "10.9.0.10", rangeEnd: "10.9.0.12", gateway: "10.9.0.11" },
          { subnet: "10.9.1.0/24", rangeStart: "10.9.1.5", rangeEnd: "10.9.1.6" },
        ],
      ],
    },
    steps: [..."abcde"].map((id) => add(id)).concat(del("c"), add("f"), del("a"), add("g")),
  },
  {
    name: "a range of IPv6 that crosses a group",
    ipam: { ranges: [[{ ...v6, rangeStart: "fd00:9::fffe", rangeEnd: "fd00:9::1:1" }]] },
    steps: [..."abcde"].map((id) => add(id)),
  },
  {
    name: "addresses that are asked for, by all three ways, and may not be had",
    ipam: { ranges: [[v4], [v6]] },
    steps: [
      add("a", { args: "IP=10.9.0.50;IgnoreUnknown=1;K8S_POD_NAME=x" }),
      add("b", { config: { args: { cni: { ips: ["10.9.0.60/16", "fd00:9::60"] } } } }),
      add("c", { config: { runtimeConfig: { ips: ["fd00:9::0:70"] } } }),
      add("d"),
      add("e", { args: "IP=10.9.0.50" }),
      add("f", { args: "IP=10.9.0.1" }),
      add("g"),
    ],
  },
  {
    name: "ranges from the runtime and from the old keys",
    ipam: { subnet: "10.7.0.0/24", rangeStart: "10.7.0.100", gateway: "10.7.0.254" },
    steps: [
      add("a"),
      add("b", { config: { runtimeConfig: { ipRanges: [[{ subnet: "10.8.0.0/24" }], [v6]] } } }),
      add("c"),
      del("b"),
      check("b"),
      check("c"),
    ],
  },
  {
    name: "routes",
    ipam: {
      ...v4,
      routes: [{ dst: "0.0.0.0/0" }, { dst: "192.168.5.5/16", gw: "10.9.0.9" }, { dst: "::/0", gw: "fd00::1" }],
    },
    steps: [add("a")],
  },
  {
    name: "an attachment twice, two interfaces of one container",
    ipam: v4,
    steps: [
      add("a"),
      add("a"),
      check("a"),
      add("a", { ifname: "eth1" }),
      del("a"),
      check("a", { ifname: "eth1" }),
      check("a"),
      add("a"),
    ],
  },
  {
    name: "files of old versions, with the container id alone",
    ipam: v4,
    files: { "10.9.0.2": "a", "10.9.0.3": "b", "10.9.0.4": "b\r\neth0", "10.9.0.5": "" },
    steps: [check("a"), add("a"), check("b"), add("c"), del("b"), del("a"), del("b"), add("d"), add("b")],
  },
  {
    name: "a cursor that says nothing",
    ipam: v4,
    files: { "last_reserved_ip.0": "10.8.0.7", "10.9.0.2": "z\r\neth0" },
    steps: [add("a"), add("b")],
  },
];

const versions = reference.newest ? ["0.2.0", "0.4.0", "1.0.0", "1.1.0"] : ["0.2.0", "0.4.0", "1.0.0"];

/** Debian's v1.1.1 prints `dns` even when it is empty; errors differ in their words. */
function comparable({ exitCode, result, stdout }: Answer): object {
  if (exitCode !== 0) return { failed: true };
  if (result && JSON.stringify(result.dns) === "{}") delete result.dns;
  return result ?? { stdout };
}

async function runSequence(
  run: (verb: Verb, call: Call) => Promise<Answer>,
  node: Node,
  { ipam, steps, files = {} }: Sequence,
  cniVersion: string,
): Promise<object[]> {
  const folder = join(node.dataDir, "net");
  if (Object.keys(files).length > 0) await node.must("mkdir", "-p", folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const seen: object[] = [];
  for (const { verb, id, ifname, args, config, ipam: more } of steps) {
    const whole = {
      cniVersion,
      name: "net",
      type: "main",
      ...config,
      ipam: { type: "host-local", dataDir: node.dataDir, ...ipam, ...more },
    };
    const call: Call = {
      plugin: "host-local",
      config: whole,
      containerId: id,
      netns: "/nonexistent",
      ...(ifname && { ifname }),
      ...(args && { args }),
    };
    if (verb === "CHECK" && cniVersion === "0.2.0") continue;
    const answer = comparable(await run(verb, call));
    const all = Object.entries(node.leases({ all: true })).filter(([name]) => !name.startsWith(".podwire/"));
    seen.push({ step: `${verb} ${id}`, answer, files: Object.fromEntries(all) });
  }
  return seen;
}

describe.each(sequences)("$name", (sequence) => {
  test.each(versions)("%s", async (version) => {
    const [ours, theirs] = await Promise.all([Node.create(), Node.create()]);
    const podwire = await runSequence(async (verb, call) => ours.podwire(verb, call), ours, sequence, version);
    expect(podwire).toEqual(
      await runSequence(async (verb, call) => theirs.reference(verb, call), theirs, sequence, version),
    );
    expect(podwire.length).toBeGreaterThan(0);
  });
});

describe("both in one folder", () => {
  const config = (node: Node) => ({
    cniVersion: "1.0.0",
    name: "net",
    type: "main",
    ipam: { type: "host-local", dataDir: node.dataDir, ranges: [[{ subnet: "10.9.0.0/24" }], [v6]] },
  });
  const call = (node: Node, containerId: string): Call => ({
    plugin: "host-local",
    config: config(node),
    containerId,
    netns: "/nonexistent",
  });

  test("each checks, removes and does not double what the other made", async () => {
    const node = await Node.create();
    const ips = [];
    for (const [i, run] of [
      node.podwire.bind(node),
      node.reference.bind(node),
      node.podwire.bind(node),
      node.reference.bind(node),
    ].entries()) {
      ips.push((await run("ADD", call(node, `c${i}`))).result!.ips!.map(({ address }) => address));
    }
    expect(ips).toEqual([2, 3, 4, 5].map((n) => [`10.9.0.${n}/24`, `fd00:9::${n}/64`]));
    for (const [i, run] of [
      node.reference.bind(node),
      node.podwire.bind(node),
      node.reference.bind(node),
      node.podwire.bind(node),
    ].entries()) {
      expect((await run("CHECK", call(node, `c${i}`))).exitCode).toBe(0);
      expect((await run("ADD", call(node, `c${i}`))).error?.msg).toContain("duplicate allocation is not allowed");
      expect((await run("DEL", call(node, `c${i}`))).exitCode).toBe(0);
    }
    expect(node.leases()).toEqual({});
  });

  test("100 ADDs at once, then 100 DELs by the other one: every address once, nothing left, no error", async () => {
    const node = await Node.create();
    const ids = Array.from({ length: 100 }, (_, i) => i);
    const run = async (verb: Verb, i: number, ours: boolean): Promise<Answer> =>
      ours ? node.podwire(verb, call(node, `c${i}`)) : node.reference(verb, call(node, `c${i}`));
    const added = await Promise.all(ids.map(async (i) => run("ADD", i, i % 2 === 0)));
    expect(added.filter(({ exitCode }) => exitCode !== 0).map(({ stdout }) => stdout)).toEqual([]);
    const leased = added.flatMap(({ result }) => result!.ips!.map(({ address }) => address.replace(/\/.*/, "")));
    expect(new Set(leased).size).toBe(200);
    expect(
      Object.keys(node.leases())
        .map((name) => name.replace("net/", ""))
        .sort(),
    ).toEqual([...leased].sort());
    const removed = await Promise.all(ids.map(async (i) => run("DEL", i, i % 3 === 0)));
    expect(removed.filter(({ exitCode }) => exitCode !== 0).map(({ stdout }) => stdout)).toEqual([]);
    expect(node.leases()).toEqual({});
    expect((await node.succeed("ADD", call(node, "after"))).result!.ips).toHaveLength(2);
  });
});

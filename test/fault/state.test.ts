import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import {
  attach,
  bridge,
  callFor,
  complaint,
  dualStack,
  failure,
  hostLocal,
  v4,
  type Config,
} from "../executable/configs.ts";
import { environment } from "../harness/invoke.ts";
import { Node, podwireFolder } from "../executable/harness.ts";

const network = (node: Node, more: object = {}): Config =>
  bridge(node, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node), ...more });
const leaseFile = (node: Node, ip: string): string => join(node.dataDir, "net", ip);

/** What may stand at an address's place without being a lease podwire or the reference wrote. */
const odd: [string, (file: string) => unknown][] = [
  ["an empty file", (file) => writeFileSync(file, "")],
  ["a lease cut short", (file) => writeFileSync(file, "container-9\r\n")],
  ["zeros, as after a crash", (file) => writeFileSync(file, Buffer.alloc(64))],
  ["text of somebody else", (file) => writeFileSync(file, "do not touch!\n")],
  ["bytes that are no text", (file) => writeFileSync(file, Buffer.from([0xff, 0xfe, 0x0d, 0x0a, 0x80]))],
  ["a megabyte", (file) => writeFileSync(file, Buffer.alloc(1 << 20, "x"))],
  ["a lease of the old format", (file) => writeFileSync(file, "somebody-else")],
  ["a folder", (file) => mkdirSync(file)],
  ["a link to nowhere", (file) => symlinkSync("/nowhere", file)],
  ["a link to itself", (file) => symlinkSync(file, file)],
  ["a lease nobody may read or write", (file) => (writeFileSync(file, "container-9\r\neth0"), chmodSync(file, 0))],
];

describe("what is no lease of podwire's blocks its address and nothing else", () => {
  test.each([...odd, ["a pipe nobody reads", async (file: string) => execa("mkfifo", [file])] as (typeof odd)[number]])(
    "%s",
    async (_what, make) => {
      const node = await Node.create();
      const live = await attach(node, network(node));
      await make(leaseFile(node, "10.9.0.3"));
      const next = await attach(node, network(node));
      expect(next.ip4).toBe("10.9.0.4");
      expect(await complaint(node, next)).toBe("");
      await node.succeed("DEL", next.call);
      await node.succeed("GC", {
        plugin: "bridge",
        config: {
          ...network(node),
          "cni.dev/valid-attachments": [{ containerID: live.call.containerId, ifname: "eth0" }],
        },
      });
      expect(await complaint(node, live)).toBe("");
      await node.succeed("DEL", live.call);
    },
  );

  test("a lease that was emptied under a running pod: DEL still takes the pod apart", async () => {
    const node = await Node.create();
    const { call, hostVeth } = await attach(node, network(node));
    rmSync(leaseFile(node, "10.9.0.2")); // the leases of one pod are one file with two names
    writeFileSync(leaseFile(node, "10.9.0.2"), "");
    await node.succeed("DEL", call);
    expect(await node.link(hostVeth)).toBeUndefined();
    expect(node.leases()).toEqual({ "net/10.9.0.2": "" });
    expect((await attach(node, network(node))).ip4).toBe("10.9.0.3");
  });
});

describe("the lease folder", () => {
  test("vanishes: DEL, GC and a new ADD work", async () => {
    const node = await Node.create();
    const before = await node.links();
    const first = await attach(node, network(node));
    const second = await attach(node, network(node));
    rmSync(node.dataDir, { recursive: true });
    expect(await complaint(node, first)).toMatch(/failed to find an address/);
    await node.succeed("DEL", first.call);
    await node.succeed("GC", { plugin: "bridge", config: { ...network(node), "cni.dev/valid-attachments": [] } });
    expect(await node.link(second.hostVeth)).toBeUndefined();
    await node.succeed("DEL", (await attach(node, network(node))).call);
    expect((await node.links()).length).toBe(before.length + 1);
  });

  test("loses what podwire knows beside it: DEL finds the leases all the same", async () => {
    const node = await Node.create();
    const { call } = await attach(node, network(node));
    rmSync(join(node.dataDir, ".podwire"), { recursive: true });
    await node.succeed("DEL", call);
    expect(node.leases()).toEqual({});
  });

  test("is read-only: ADD fails with code 5 and leaves nothing, DEL fails and succeeds when repeated", async () => {
    const node = await Node.create();
    const live = await attach(node, network(node));
    const before = await node.snapshot();
    await execa("mount", ["--bind", node.dataDir, node.dataDir]);
    await execa("mount", ["-o", "remount,bind,ro", node.dataDir]);
    try {
      expect(failure(await node.podwire("ADD", await callFor(node, network(node))))).toMatchObject({
        code: 5,
        msg: expect.stringMatching(/EROFS/) as unknown,
      });
      expect(await node.snapshot()).toEqual(before);
      expect(failure(await node.podwire("STATUS", { plugin: "bridge", config: network(node) }))).toMatchObject({
        code: 50,
      });
      expect(failure(await node.podwire("DEL", live.call))).toMatchObject({ code: 5 });
    } finally {
      await execa("umount", [node.dataDir]);
    }
    await node.succeed("DEL", live.call);
    expect(node.leases()).toEqual({});
  });
});

test("a lock held by a process that is stopped: code 11 in bounded time, naming the process", async () => {
  const node = await Node.create();
  const live = await attach(node, network(node));
  const holder = spawn("flock", ["--close", join(node.dataDir, "net/lock"), "sh", "-c", "echo held; read -r end"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  await new Promise((resolve) => void holder.stdout.once("data", resolve));
  process.kill(holder.pid!, "SIGSTOP");
  try {
    const [add, del] = await Promise.all([
      node.podwire("ADD", await callFor(node, network(node))),
      node.podwire("DEL", live.call),
    ]);
    for (const answer of [add, del]) {
      expect(failure(answer)).toMatchObject({
        code: 11,
        msg: expect.stringMatching(new RegExp(`process ${holder.pid} \\(flock\\)`)) as unknown,
      });
    }
  } finally {
    holder.stdin.end();
    holder.kill("SIGKILL");
  }
  await node.succeed("DEL", live.call);
  expect(node.leases()).toEqual({});
});

test.each([["2099-01-01"], ["1970-01-02"]])(
  "a clock that jumps to %s and back: no live lease is lost, DEL and ADD work",
  async (date) => {
    const node = await Node.create();
    const small = (): Config =>
      network(node, { ipam: hostLocal(node, { ...v4, rangeStart: "10.9.0.2", rangeEnd: "10.9.0.3" }) });
    const pods = [await attach(node, small()), await attach(node, small())];
    const folder = join(node.dataDir, "net");
    for (const file of [
      ...Object.keys(node.leases({ all: true })).map((path) => join(node.dataDir, path)),
      folder,
      join(node.dataDir, ".podwire/net"),
    ]) {
      utimesSync(file, new Date(date), new Date(date));
    }
    expect(failure(await node.podwire("ADD", await callFor(node, small())))).toMatchObject({ code: 11 });
    for (const pod of pods) expect(await complaint(node, pod)).toBe("");
    await node.succeed("DEL", pods[0]!.call);
    expect((await attach(node, small())).ip4).toBe("10.9.0.2");
    expect(readFileSync(join(folder, "10.9.0.3"), "utf8")).toBe(`${pods[1]!.call.containerId}\r\neth0`);
  },
);

test("a clock that was set forward since the boot: a lease of the reference's is not taken for older than that", async () => {
  const node = await Node.create();
  const small = network(node, {
    ipMasq: false,
    ipam: hostLocal(node, { ...v4, rangeStart: "10.9.0.2", rangeEnd: "10.9.0.2" }),
  });
  const theirs = await callFor(node, { ...small, cniVersion: "1.0.0" });
  expect((await node.reference("ADD", theirs)).exitCode).toBe(0);
  const stat = join(node.dataDir, "stat"); // as /proc has it, for who asks an hour after the clock was set
  writeFileSync(stat, `btime ${Math.floor(Date.now() / 1000) + 3600}\n`);
  const call = await callFor(node, small);
  const script = 'mount --bind "$1" /proc/stat && exec "$2"';
  const plugin = join(podwireFolder(), call.plugin);
  const { stdout } = await node.run("unshare", ["--mount", "sh", "-c", script, "sh", stat, plugin], {
    env: environment(podwireFolder(), "ADD", call),
    input: JSON.stringify(call.config),
  });
  expect(JSON.parse(stdout)).toMatchObject({
    code: 11,
    msg: expect.stringContaining("no IP addresses available") as unknown,
  });
  expect(node.leases()["net/10.9.0.2"]).toContain(theirs.containerId);
});

test("`nft flush ruleset` under running pods: a new ADD is masqueraded, CHECK says what the others lack, DEL works", async () => {
  const node = await Node.create();
  const outside = await node.outside();
  const before = await attach(node, network(node));
  await node.must("nft", "flush", "ruleset");
  expect(await complaint(node, before)).toMatch(/nftables/);
  const after = await attach(node, network(node));
  expect(await complaint(node, after)).toBe("");
  expect(await after.pod.ping(outside.address4)).toBe(true);
  expect(await after.pod.ping(outside.address6)).toBe(true);
  await node.succeed("DEL", before.call);
  await node.succeed("DEL", after.call);
  expect(node.leases()).toEqual({});
  expect(
    (await node.ruleset())
      .flatMap((entry) => Object.values(entry))
      .filter((object) => JSON.stringify(object).includes("container-")),
  ).toEqual([]);
});

describe("races", () => {
  test("several ADDs of one container and interface at once: one wins, the others say so, and it lives", async () => {
    const node = await Node.create();
    for (let round = 0; round < 10; round++) {
      const call = await callFor(node, network(node));
      const answers = await Promise.all(Array.from({ length: 4 }, async () => node.podwire("ADD", call)));
      const winners = answers.filter(({ exitCode }) => exitCode === 0);
      expect(winners).toHaveLength(1);
      for (const { error } of answers.filter(({ exitCode }) => exitCode !== 0)) {
        expect(error!.msg).toMatch(/DEL comes (first|before)|already exists/);
      }
      expect(
        (
          await node.podwire("CHECK", {
            ...call,
            config: { ...(call.config as object), prevResult: winners[0]!.result },
          })
        ).stdout,
      ).toBe("");
      await node.succeed("DEL", call);
      expect(node.leases()).toEqual({});
    }
  });

  test("the first ADDs of a node at once: one bridge, one table, all of them work", async () => {
    const node = await Node.create();
    const calls = await Promise.all(Array.from({ length: 8 }, async () => callFor(node, network(node))));
    const results = await Promise.all(calls.map(async (call) => node.succeed("ADD", call)));
    for (const [at, call] of calls.entries()) {
      expect(
        (await node.podwire("CHECK", { ...call, config: { ...call.config, prevResult: results[at]!.result } })).stdout,
      ).toBe("");
    }
    expect((await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "bridge")).toHaveLength(1);
  });

  test("ADD and DEL of one container at once: a DEL afterwards leaves nothing", async () => {
    const node = await Node.create();
    await attach(node, network(node));
    const before = await node.snapshot();
    for (let round = 0; round < 10; round++) {
      const call = await callFor(node, network(node));
      const verbs = ["ADD", "DEL", "DEL", "ADD"] as const;
      const answers = await Promise.all(verbs.map(async (verb) => node.podwire(verb, call)));
      // "try again later", but for an ADD of what is there
      for (const { error } of answers) expect([undefined, 4, 11]).toContain(error?.code);
      await node.succeed("DEL", call);
      expect(await node.snapshot()).toEqual(before);
    }
  });
});

import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, describe, expect, test } from "vitest";
import { attach, bridge, callFor, complaint, dualStack, failure, type Config } from "../executable/configs.ts";
import { Node, temporaryFolder } from "../executable/harness.ts";

// A disk without room, or read-only: what frees needs no room, what needs it says so and leaves nothing.

const network = (node: Node): Config =>
  bridge(node, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node) });

const mounted: string[] = [];
afterEach(async () => {
  for (const folder of mounted.splice(0)) await execa("umount", [folder]);
});

/** A node whose leases are on a disk of their own, and what fills that up to the last block and the last file. */
async function onDisk(options = "size=1m,nr_inodes=64"): Promise<{ node: Node; fill(): void }> {
  const node = await Node.create();
  await execa("mount", ["-t", "tmpfs", "-o", options, "podwire-test", node.dataDir]);
  mounted.push(node.dataDir);
  const untilFull = (write: (at: number) => void): void => {
    for (let at = 0; at < 1_000; at++) {
      try {
        write(at);
      } catch (error) {
        expect((error as { code: string }).code).toBe("ENOSPC");
        return;
      }
    }
    throw new Error("the disk does not fill");
  };
  let times = 0;
  const fill = (): void => {
    untilFull(() => writeFileSync(join(node.dataDir, "fill"), Buffer.alloc(4096), { flag: "a" }));
    times += 1;
    untilFull((at) => writeFileSync(join(node.dataDir, `fill-${times}-${at}`), "", { flag: "wx" }));
  };
  return { node, fill };
}

const gc = (node: Node, ...valid: string[]) => ({
  plugin: "bridge",
  config: {
    ...network(node),
    "cni.dev/valid-attachments": valid.map((containerID) => ({ containerID, ifname: "eth0" })),
  },
});

describe("on a full disk", () => {
  test("ADD fails with code 5 and leaves nothing, STATUS is 50, CHECK and GC are content, DEL and GC free", async () => {
    const { node, fill } = await onDisk();
    const [first, second] = [await attach(node, network(node)), await attach(node, network(node))];
    fill();
    const call = await callFor(node, network(node));
    const before = await node.snapshot();
    expect(failure(await node.podwire("ADD", call))).toMatchObject({ code: 5, msg: expect.stringMatching(/ENOSPC/) });
    const { error } = await node.podwire("STATUS", { plugin: "bridge", config: network(node) });
    expect(error).toMatchObject({ code: 50, msg: expect.stringMatching(/ipam\.dataDir.*ENOSPC/) });
    expect(await complaint(node, first)).toBe("");
    await node.succeed("GC", gc(node, first.call.containerId!, second.call.containerId!));
    await node.succeed("DEL", call);
    expect(await node.snapshot()).toEqual(before);
    await node.succeed("DEL", first.call);
    fill();
    await node.succeed("GC", gc(node));
    expect(node.leases()).toEqual({});
    expect((await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "veth")).toEqual([]);
  });

  test.each<[string, (node: Node) => void]>([
    ["what podwire keeps beside the leases", ({ dataDir }) => rmSync(join(dataDir, ".podwire"), { recursive: true })],
    ["the census", ({ dataDir }) => rmSync(join(dataDir, ".podwire/net/.census"))],
    ["the lock", ({ dataDir }) => rmSync(join(dataDir, "net/lock"))],
    [
      "lock and records",
      ({ dataDir }) => [".podwire", "net/lock"].forEach((name) => rmSync(join(dataDir, name), { recursive: true })),
    ],
  ])("without %s DEL frees all the same", async (_what, lose) => {
    const { node, fill } = await onDisk();
    const theirs = await callFor(node, { ...network(node), cniVersion: "1.0.0" });
    expect((await node.reference("ADD", theirs)).exitCode).toBe(0);
    const own = await attach(node, network(node));
    await node.succeed("DEL", (await attach(node, network(node))).call); // takes a census
    lose(node);
    fill();
    await node.succeed("DEL", theirs);
    fill();
    await node.succeed("DEL", own.call);
    expect(node.leases()).toEqual({});
    await execa("find", [node.dataDir, "-name", "fill*", "-delete"]);
    await node.succeed("DEL", (await attach(node, network(node))).call);
  });
});

test("on a read-only disk GC with nothing to free succeeds, and so does DEL of what is not there, without a lock too", async () => {
  const { node } = await onDisk();
  const live = await attach(node, network(node));
  for (const isLocked of [true, false]) {
    if (!isLocked) rmSync(join(node.dataDir, "net/lock"));
    await execa("mount", ["-o", "remount,ro", node.dataDir]);
    await node.succeed("GC", gc(node, live.call.containerId!));
    await node.succeed("DEL", await callFor(node, network(node)));
    expect(await complaint(node, live)).toBe("");
    if (isLocked) await execa("mount", ["-o", "remount,rw", node.dataDir]);
  }
  expect(failure(await node.podwire("GC", gc(node)))).toMatchObject({ code: 5, msg: expect.stringMatching(/EROFS/) });
  await execa("mount", ["-o", "remount,rw", node.dataDir]);
  await node.succeed("DEL", live.call);
  expect(node.leases()).toEqual({});
});

test.each<[string, (folder: string) => string]>([
  ["a link to nothing", (folder) => (symlinkSync("/nowhere/at/all", join(folder, "link")), join(folder, "link"))],
  ["a link to itself", (folder) => (symlinkSync("link", join(folder, "link")), join(folder, "link"))],
  ["a name that is too long", (folder) => join(folder, "x".repeat(300))],
])("dataDir is %s: STATUS is 50, ADD fails with code 5 and leaves nothing, DEL succeeds", async (_what, make) => {
  const node = await Node.create();
  const config = { ...network(node), ipam: dualStack(node, { dataDir: make(temporaryFolder("disk")) }) };
  const call = await callFor(node, config);
  const before = await node.snapshot();
  expect(failure(await node.podwire("STATUS", { plugin: "bridge", config }))).toMatchObject({ code: 50 });
  expect(failure(await node.podwire("ADD", call))).toMatchObject({ code: 5 });
  await node.succeed("DEL", call);
  expect(await node.snapshot()).toEqual(before);
});

describe.each([
  ["space", "size=4k"],
  ["inodes", "size=1m,nr_inodes=14"],
])("a disk that runs out of %s", (_what, options) => {
  test("ADD fails with code 5 and leaves nothing, DEL works and makes room", async () => {
    const { node } = await onDisk(options);
    const before = (await node.snapshot()).links.length;
    const attached = [];
    for (;;) {
      const call = await callFor(node, network(node));
      const clean = await node.snapshot();
      const answer = await node.podwire("ADD", call);
      if (answer.exitCode === 0) {
        attached.push(call);
        continue;
      }
      expect(failure(answer)).toMatchObject({ code: 5, msg: expect.stringMatching(/ENOSPC/) as unknown });
      if (attached.length > 0) expect(await node.snapshot()).toEqual(clean);
      break;
    }
    for (const call of attached) await node.succeed("DEL", call);
    expect(node.leases()).toEqual({});
    expect((await node.snapshot()).links.length).toBeLessThanOrEqual(before + 1);
  });
});

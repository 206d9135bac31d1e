import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { after, wire, type Wired } from "./chained.ts";
import { failure } from "./configs.ts";
import { type Call, Node } from "./harness.ts";
import { tuning, state, tuned, backups, add } from "./tuning-calls.ts";

// What tuning puts back.

describe("DEL and GC", () => {
  test.each<[string, (wired: Wired) => Promise<Partial<Call>>]>([
    ["without a namespace", async () => ({ netns: "" })],
    ["when the namespace is gone", async ({ pod }) => (await pod.vanish(), {})],
    ["when the link is gone", async ({ pod }) => (await pod.ip("link delete eth0"), {})],
  ])("%s leave no file", async (_what, prepare) => {
    const node = await Node.create();
    const wired = await wire(node);
    await add(wired, tuning(node));
    expect(backups(node)).toEqual(["pod_eth0.json"]);
    const more = await prepare(wired);
    await node.succeed("DEL", { ...after(wired.call(tuning(node, {})), undefined), ...more });
    expect(backups(node)).toEqual([]);
  });

  test("another pod's namespace in CNI_NETNS stays as it is", async () => {
    const node = await Node.create();
    const [mine, other] = [await wire(node), await wire(node, { containerId: "other" })];
    await add(mine, tuning(node, { mtu: 1400, sysctl: { "net.core.somaxconn": "5" } }));
    const before = await state(other.pod);
    await add(other, tuning(node));
    await node.succeed("DEL", mine.call(tuning(node), { netns: other.pod }));
    expect([await state(other.pod), backups(node)]).toEqual([tuned, ["other_eth0.json"]]);
    await node.succeed("DEL", other.call(tuning(node)));
    expect(await state(other.pod)).toEqual(before);
  });

  test("of another dataDir put nothing back, and neither do unknown CNI_ARGS keep DEL from it", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await state(wired.pod);
    await add(wired, tuning(node));
    await node.succeed("DEL", wired.call(tuning(node, { dataDir: `${node.dataDir}/elsewhere` })));
    expect([await state(wired.pod), backups(node)]).toEqual([tuned, ["pod_eth0.json"]]);
    await node.succeed("DEL", wired.call(tuning(node, {}), { args: "foo=bar" }));
    expect([await state(wired.pod), backups(node)]).toEqual([before, []]);
    expect(failure(await node.podwire("ADD", wired.call(tuning(node), { args: "foo=bar" }))).msg).toMatch(/foo=bar/);
    expect(await state(wired.pod)).toEqual(before);
  });

  test("a torn backup and one of another attachment stop nothing", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    mkdirSync(`${node.dataDir}/tuning`);
    writeFileSync(`${node.dataDir}/tuning/pod_eth0.json`, '{"mac":"02:');
    await node.succeed("DEL", wired.call(tuning(node)));
    expect(backups(node)).toEqual([]);
    const underscored = await wire(node, { containerId: "pod_a", ifname: "b" });
    await add(underscored, tuning(node));
    const same = await wire(node, { containerId: "pod", ifname: "a_b" });
    expect(failure(await node.podwire("ADD", same.call(tuning(node)))).msg).toContain(
      "is the backup of container pod_a, interface b",
    );
    await node.succeed("DEL", same.call(tuning(node)));
    expect(backups(node)).toEqual(["pod_a_b.json"]);
  });

  test("GC removes the files of attachments of the network that are not valid", async () => {
    const node = await Node.create();
    const mtu = tuning(node, { mtu: 1400 });
    for (const containerId of ["kept", "lost"]) await add(await wire(node, { containerId }), mtu);
    const gc = async (name: string) =>
      node.succeed("GC", {
        plugin: "tuning",
        config: {
          cniVersion: "1.1.0",
          name,
          ...tuning(node, {}),
          "cni.dev/valid-attachments": [{ containerID: "kept", ifname: "eth0" }],
        },
      });
    await gc("other");
    expect(backups(node).toSorted()).toEqual(["kept_eth0.json", "lost_eth0.json"]);
    await gc("net");
    expect(backups(node)).toEqual(["kept_eth0.json"]);
  });

  test("the longest names a network and a container may have", async () => {
    const node = await Node.create();
    const wired = await wire(node, { containerId: "c".repeat(230) });
    const named = { ...tuning(node, { mtu: 1400 }), name: "n".repeat(250) };
    await add(wired, named);
    expect(backups(node)).toHaveLength(1);
    await node.succeed("DEL", wired.call(named));
    expect(backups(node)).toEqual([]);
  });

  test("a full disk is named, with the file", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const dataDir = join(node.dataDir, "tuning");
    mkdirSync(dataDir);
    await execa("mount", ["-t", "tmpfs", "-o", "size=16k", "none", dataDir]);
    await execa("dd", ["if=/dev/zero", `of=${dataDir}/fill`, "bs=1k"], { reject: false });
    const answer = await node.podwire("ADD", wired.call(tuning(node, { mtu: 1400 })));
    await execa("umount", [dataDir]);
    expect(answer.error).toMatchObject({
      code: 5,
      msg: expect.stringMatching(/dataDir.*: write \/.*\/tuning\/.*: no space left on device/) as unknown,
    });
  });

  test("the backup is the reference's, with more", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    await add(wired, tuning(node, { allmulti: true, txQLen: 10, sysctl: { "net.core.somaxconn": "5" } }));
    const text = readFileSync(`${node.dataDir}/tuning/pod_eth0.json`, "utf8");
    expect(text).toMatch(
      /^\{\n "allmulti": false,\n "txQLen": \d+,\n "sysctl": \{\n {2}"net\/core\/somaxconn": "\d+"\n \},/,
    );
  });
});

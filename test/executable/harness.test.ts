import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runProgram } from "../harness/program.ts";
import { Node, temporaryFolder } from "./harness.ts";

const config = (node: Node) => ({
  cniVersion: "1.0.0",
  name: "harness",
  type: "bridge",
  bridge: "br0",
  isGateway: true,
  ipMasq: true,
  ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24", routes: [{ dst: "0.0.0.0/0" }] },
});

// The harness is judged by the reference plugins, whose behaviour is known.
describe("the harness", () => {
  test("lets files that are tested at the same time share no folder of podwire's", () => {
    const filesOf = (process: number | string): string => readlinkSync(`/proc/${process}/ns/mnt`);
    expect(filesOf("self")).not.toBe(filesOf(process.ppid)); // vitest, which started this process
  });

  test("ends with a program that takes too long, whatever that has started", async () => {
    const node = await Node.create();
    const file = join(node.dataDir, "pid");
    const script = 'sleep 1000 & echo $! > "$1"; wait';
    const started = node.run("sh", ["-c", script, "sh", file], { timeoutMs: 3000 });
    await expect(started).rejects.toThrow("sh was killed as it took more than 3000 ms");
    process.kill(Number(readFileSync(file, "utf8")));
  });

  test("starts a program that is told little when all it is told is there, however busy this process is", async () => {
    const folder = temporaryFolder("input");
    const [pipe, said] = [join(folder, "pipe"), join(folder, "said")];
    execFileSync("mkfifo", [pipe]);
    // Node has four threads for files, and nobody writes to the pipe
    const opening = Array.from({ length: 4 }, async () => open(pipe, "r"));
    const running = runProgram(
      "bash",
      ["-c", 'read -r -t 0; echo $? > "$1.new"; mv "$1.new" "$1"; cat', "bash", said],
      {
        input: "all",
      },
    );
    await expect.poll(() => existsSync(said)).toBe(true);
    const writer = openSync(pipe, constants.O_RDWR);
    for (const each of await Promise.all(opening)) await each.close();
    closeSync(writer);
    expect([readFileSync(said, "utf8"), (await running).stdout]).toEqual(["0\n", "all"]);
  });

  test("drives a plugin, reads the pod back and sees real packets", async () => {
    const node = await Node.create();
    const outside = await node.outside();
    const [first, second] = [await node.pod(), await node.pod()];
    const one = await node.reference("ADD", {
      plugin: "bridge",
      config: config(node),
      containerId: "one",
      netns: first,
    });
    await node.reference("ADD", { plugin: "bridge", config: config(node), containerId: "two", netns: second });

    expect(one.result?.ips?.[0]?.address).toBe("10.9.0.2/24");
    expect(await first.addresses("eth0")).toEqual(["10.9.0.2/24"]);
    expect(node.leases()).toEqual({ "harness/10.9.0.2": "one\r\neth0", "harness/10.9.0.3": "two\r\neth0" });
    expect(await first.ping("10.9.0.3")).toBe(true);
    expect(await first.ping(outside.address4)).toBe(true);
    expect(await first.ping("10.9.0.99", { timeoutS: 1 })).toBe(false);

    await outside.listen(8080, { name: "outside" });
    expect(await first.connect(outside.address4, 8080)).toMatchObject({ server: "outside", from: outside.node4 });
    await second.listen(53, { protocol: "udp", name: "second" });
    expect(await first.connect("10.9.0.3", 53, { protocol: "udp" })).toMatchObject({
      server: "second",
      from: "10.9.0.2",
    });
    await expect(first.connect("10.9.0.3", 81)).rejects.toThrow("ECONNREFUSED");
  });

  test("sees a difference between before and after, and none after removal", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    await node.reference("ADD", { plugin: "bridge", config: config(node), containerId: "first", netns: pod });
    const before = await node.snapshot();
    const other = await node.pod();
    const call = { plugin: "bridge", config: config(node), containerId: "other", netns: other };
    await node.reference("ADD", call);
    expect(await node.snapshot()).not.toEqual(before);
    expect((await node.reference("DEL", call)).exitCode).toBe(0);
    expect(await node.snapshot()).toEqual(before);
  });
});

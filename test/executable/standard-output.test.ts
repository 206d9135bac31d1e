import { spawn, type StdioOptions } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { version } from "../../package.json" with { type: "json" };
import { executable, Node, podwireFolder, temporaryFolder } from "./harness.ts";

describe("standard output", () => {
  const commands = [[["--help"]], [["--version"]], [["install", "--dry-run"]], [["leases", "--help"]]];

  test.each(commands)("that is full makes %j fail, and say so", async (args) => {
    const { exitCode, stderr } = await execa("sh", ["-c", 'exec "$@" >/dev/full', "sh", executable, ...args], {
      reject: false,
    });
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^podwire: cannot write to standard output: .*ENOSPC/);
  });

  test("that is closed does not stop an operation that says nothing", async () => {
    const outcome = await execa("sh", ["-c", `exec "${podwireFolder()}/bridge" >&-`], {
      env: { CNI_COMMAND: "STATUS" },
      input: '{"cniVersion":"1.1.0","name":"edge"}',
      reject: false,
    });
    expect(outcome).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("that nobody reads any more makes ADD fail, and DEL takes away what it made", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const ipam = { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" };
    const call = {
      plugin: "ptp",
      containerId: "one",
      netns: pod,
      config: { cniVersion: "1.0.0", name: "unheard", type: "ptp", ipMasq: true, ipam },
    };
    await node.succeed("ADD", call);
    await node.succeed("DEL", call);
    const before = await node.snapshot();
    const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: "one", CNI_NETNS: pod.path, CNI_IFNAME: "eth0" };
    const command = ["nsenter", `--net=${node.path}`, "--", join(podwireFolder(), "ptp")];
    const { code, stderr } = await unread(command, env, JSON.stringify(call.config));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^podwire: cannot write to standard output: .*EPIPE/);
    await node.succeed("DEL", call);
    expect(await node.snapshot()).toEqual(before);
  });

  test("that is a full pipe is waited for", async () => {
    const folder = temporaryFolder("pipe");
    const path = join(folder, "pipe");
    await execa("mkfifo", [path]);
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const filled = fill(pipe);
    // by way of a shell: Node makes what it gives as standard output a pipe that blocks
    const child = spawn("sh", ["-c", `exec "${executable}" --version >&3`], {
      stdio: ["ignore", "ignore", "ignore", pipe] as StdioOptions,
    });
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    await polls(child.pid!);
    const text = drain(pipe, filled);
    expect(await ended).toBe(0);
    expect(text + drain(pipe)).toBe(`podwire ${version}\n`);
    closeSync(pipe);
    rmSync(folder, { recursive: true });
  });
});

/** Runs a program whose standard output is closed by its reader before the program has read its standard input. */
async function unread(
  [command, ...args]: string[],
  env: Record<string, string>,
  input: string,
): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(command!, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (data) => (stderr += data));
  child.stdout.destroy();
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  child.stdin.end(input);
  return { code: await ended, stderr };
}

/** Fills a pipe that does not block; returns how many bytes that took. */
function fill(pipe: number): number {
  for (let bytes = 0; ;) {
    try {
      bytes += writeSync(pipe, Buffer.alloc(4096));
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      return bytes;
    }
  }
}

/** What a pipe that does not block holds, without its first `skip` bytes. */
function drain(pipe: number, skip = 0): string {
  const parts: Buffer[] = [];
  for (;;) {
    const part = Buffer.alloc(65536);
    try {
      parts.push(part.subarray(0, readSync(pipe, part)));
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      return Buffer.concat(parts).toString("utf8", skip);
    }
  }
}

/**
 * Resolves once the process's main thread is in poll(2); no event tells of that, so it is looked at again and again.
 */
async function polls(pid: number): Promise<void> {
  while (!readFileSync(`/proc/${pid}/wchan`, "utf8").includes("poll")) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

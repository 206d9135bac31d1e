import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { executable as podwire } from "../harness/paths.ts";
import { executableOf, run as runScript } from "./engine.ts";

// Where the engine has little or finds things as they should not be: work done, or an error in words, and never a
// crash.

const env = { CNI_COMMAND: "VERSION", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
const input = '{"cniVersion":"1.0.0"}';
const answer = '{"cniVersion":"1.0.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n';
const folder = mkdtempSync(join(tmpdir(), "podwire-limits-"));
/** It is there from the start, as VERSION waits for it but half a second. */
const given = join(folder, "given");
writeFileSync(given, input);

/** Runs a command that ends in podwire's name, and returns what came of it; `input`: in place of what is `given`. */
function run(command: string[], options: { input?: string; env?: Record<string, string> } = {}) {
  const stdin = options.input === undefined ? openSync(given, "r") : "pipe";
  const { status, signal, stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
    env,
    stdio: [stdin, "pipe", "pipe"],
    encoding: "utf8",
    maxBuffer: 1 << 26,
    ...options,
  });
  if (stdin !== "pipe") closeSync(stdin);
  return { status, signal, stdout, stderr };
}

const inPodwire = { status: 0, signal: null, stdout: answer, stderr: "" };

describe("podwire answers with", () => {
  test.each<[string, string[]]>([
    // with so little the kernel ends one of twenty programs of whatever kind at exec, by where it happens to lay the
    // stack
    ["8 kB of stack", ["setarch", "-R", "prlimit", "--stack=8192", podwire]],
    ["16 kB of stack", ["prlimit", "--stack=16384", podwire]],
    ["64 kB of stack", ["prlimit", "--stack=65536", podwire]],
    ["any amount of stack", ["prlimit", "--stack=unlimited", podwire]],
    ["13 MB of address space", ["prlimit", "--as=13000000", podwire]],
    ["11 MB of data", ["prlimit", "--data=11000000", podwire]],
    ["no new process", ["prlimit", "--nproc=0", podwire]],
    ["no file that may grow", ["prlimit", "--fsize=0", podwire]],
    ["three descriptors and no more", ["prlimit", "--nofile=3", podwire]],
    ["addresses in order", ["setarch", "-R", podwire]],
    ["the old layout of addresses", ["setarch", "-L", podwire]],
    ["3 GB of addresses", ["setarch", "-3", podwire]],
    ["memory that may be executed", ["setarch", "-X", podwire]],
    ["signals ignored", ["env", "--ignore-signal", podwire]],
    ["signals blocked", ["env", "--block-signal", podwire]],
    [
      "another user, without privileges",
      [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
        "sh",
        "-c",
        `exec ${podwire}`,
      ],
    ],
    ["no /proc", ["unshare", "--mount", "sh", "-c", `mount -t tmpfs none /proc; exec ${podwire}`]],
  ])("%s", (_what, command) => expect(run(command)).toEqual(inPodwire));

  test("nothing but itself in the file system", () => {
    const root = join(folder, "root");
    mkdirSync(root);
    copyFileSync(podwire, join(root, "bridge"));
    expect(run(["chroot", root, "/bridge"])).toEqual(inPodwire);
  });

  test("its file deleted, stripped or copied with holes", () => {
    const copy = join(folder, "copy");
    expect(run(["sh", "-c", `cp --sparse=always ${podwire} ${copy} && exec ${copy}`])).toEqual(inPodwire);
    expect(run(["sh", "-c", `strip -s ${copy} && exec ${copy}`])).toEqual(inPodwire);
    expect(run(["sh", "-c", `exec 9<${copy}; rm ${copy}; exec /proc/self/fd/9`])).toEqual(inPodwire);
  });

  test("no argument at all, not even its name", () => {
    const executable = executableOf("say(args); host.write(1, utf8(String(environment.length)))");
    // the kernel has given one, "", since Linux 5.18
    const python = `import ctypes; a = (ctypes.c_char_p * 1)(None); ctypes.CDLL(None).execve(b"${executable}", a, a)`;
    const { stdout } = spawnSync("python3", ["-c", python], { encoding: "utf8" });
    expect(stdout).toMatch(/^\[(""|)\]\n0$/);
  });

  test("strict accounting of memory (vm.overcommit_memory=2)", () => {
    const path = "/proc/sys/vm/overcommit_memory";
    const before = readFileSync(path, "utf8");
    try {
      writeFileSync(path, "2");
      expect(run([podwire])).toEqual(inPodwire);
      // what it commits to is counted there: the stack of its own, the heap, and little else
      expect(run(["prlimit", "--data=11000000", podwire])).toEqual(inPodwire);
    } finally {
      writeFileSync(path, before);
    }
  });

  test("200 of it at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const stdin = openSync(given, "r");
        const child = spawn(podwire, [], { env, stdio: [stdin, "pipe", "ignore"] });
        closeSync(stdin);
        let said = "";
        child.stdout!.on("data", (data: Buffer) => (said += data.toString()));
        const code = await new Promise((resolve) => child.once("close", resolve));
        return `${String(code)} ${said}`;
      }),
    );
    expect(new Set(answers)).toEqual(new Set([`0 ${answer}`]));
  });
});

describe("closed descriptors", () => {
  test("0 to 2 are opened on /dev/null: no file of podwire's own takes their place", () => {
    const executable = executableOf(
      'say([host.open("/etc/passwd", 0, 0), host.write(2, utf8("lost")), host.read(0, new Uint8Array(4))])',
    );
    expect(spawnSync("sh", ["-c", `exec ${executable} <&- 2>&-`], { encoding: "utf8" }).stdout).toBe("[3,4,0]\n");
  });

  test("a closed standard output loses the answer and harms nothing", () => {
    expect(run(["sh", "-c", `exec ${podwire} >&-`])).toEqual({ ...inPodwire, stdout: "" });
  });
});

describe("memory", () => {
  test("that runs out in script is an error script can catch, and work goes on", () => {
    const executable = executableOf(`let caught; let size = 0;
      try { const all = []; for (;;) { all.push(new Uint8Array(16 << 20)); size += 16; } } catch (error) { caught = error && error.message; }
      say([caught, size >= 256 && size <= 512]);`);
    expect(runScript(executable)).toEqual([["out of memory", true]]);
  });

  test("that runs out where nothing catches it ends in the last words, on standard output, and exit 1", () => {
    const executable = executableOf("const all = []; for (;;) all.push(new Uint8Array(16 << 20))");
    const { status, stdout, stderr } = spawnSync(executable, [], { encoding: "utf8" });
    expect({ status, stdout, stderr }).toEqual({
      status: 1,
      stdout: "last words",
      stderr: expect.stringMatching(/^podwire: .*out of memory/) as unknown,
    });
  });

  test("that runs out after the answer was printed adds nothing to it: one document stays one", () => {
    const executable = executableOf("say({ answer: 1 }); const all = []; for (;;) all.push(new Uint8Array(16 << 20))");
    const { status, stdout, stderr } = spawnSync(executable, [], { encoding: "utf8" });
    expect({ status, stdout, stderr }).toEqual({
      status: 1,
      stdout: '{"answer":1}\n',
      stderr: expect.stringMatching(/^podwire: .*out of memory/) as unknown,
    });
  });

  test("that small objects fill is refused as well, in bounded time", () => {
    const executable = executableOf(
      'let caught; try { const all = []; for (;;) all.push({ a: [1, {}] }); } catch (error) { caught = error === null ? "null" : error.message; } say(caught)',
    );
    expect(["out of memory", "null"]).toContain(runScript(executable)[0]);
  });

  test("is given back: a thousand large texts, one after the other, take the room of a few", () => {
    const executable = executableOf(
      "let n = 0; for (let i = 0; i < 1000; i++) n += primitives.decodeUtf8(new Uint8Array(4 << 20)).length; say(n)",
    );
    expect(runScript(executable)).toEqual([1000 * (4 << 20)]);
    expect(run(["prlimit", "--as=60000000", executable]).stdout).toBe(`${1000 * (4 << 20)}\n`);
  });

  test("is what a configuration of 64 MiB asks for: an error that says so where there is too little", () => {
    const text = `{"cniVersion":"1.0.0","name":"n","type":"bridge","x":[${"{},".repeat(15 << 20)}{}]}`;
    const add = { ...env, CNI_COMMAND: "ADD", CNI_CONTAINERID: "a", CNI_NETNS: "/run/nowhere", CNI_IFNAME: "eth0" };
    const { status, stdout } = run([podwire], { input: text, env: add });
    expect({ status, ...(JSON.parse(stdout) as object) }).toMatchObject({
      status: 1,
      code: 11,
      msg: expect.stringMatching(/memory/) as unknown,
    });
  });
});

describe("stack", () => {
  test("that runs out in script or in what it calls is an error script can catch", () => {
    const executable = executableOf(`const names = [];
      const deep = (n) => 1 + deep(n + 1);
      const nested = () => { let all = []; for (let i = 0; i < 1e6; i++) all = [all]; return all; };
      const works = [
        () => deep(0),
        () => JSON.parse("[".repeat(1e6) + "]".repeat(1e6)),
        () => JSON.stringify(nested()),
        () => /^(?:a|b|(?:c))*$/.test("c".repeat(1e7)),
      ];
      for (const work of works) {
        try { names.push(typeof work()); } catch (error) { names.push(error === null ? "null" : error.constructor.name); }
      }
      say(names);`);
    for (const command of [[executable], ["prlimit", "--stack=16384", executable]]) {
      const { status, stdout } = run(command);
      expect(status).toBe(0);
      expect(
        (JSON.parse(stdout) as string[]).slice(0, 3).every((name) => ["RangeError", "InternalError"].includes(name)),
      ).toBe(true);
    }
  });
});

test("a file that was cut short is refused by install's own test, and what was there stays", () => {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  copyFileSync(podwire, join(bin, "whole"));
  const cut = join(folder, "cut");
  copyFileSync(podwire, cut);
  const size = readFileSync(cut).length;
  for (const length of [size - 2500, size - 4096, size - 10_000, size >> 1, 200_000, 4096, 10]) {
    truncateSync(cut, length);
    const outcome = run([cut, "install", "--bin-dir", bin], { env: { PATH: env.PATH } });
    expect(outcome.status).not.toBe(0);
    copyFileSync(podwire, cut);
  }
  expect(spawnSync("ls", [bin], { encoding: "utf8" }).stdout).toBe("whole\n");
});

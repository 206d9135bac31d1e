import { spawn } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { executableOf as compile, machines, run } from "./engine.ts";

const decode = "const text = primitives.decodeUtf8;";

describe.each(machines)("a program on $name", (machine) => {
  const executableOf = (body: string): string => compile(body, { machine });

  /** What `host.run` says of a shell script: status, whether it was killed for its deadline, and what it printed. */
  function shell(script: string, { input = "", deadlineMs = 60_000, env = ["PATH=/usr/bin:/bin"] } = {}) {
    const executable = executableOf(`${decode}
      const before = host.nanoseconds();
      const ended = host.run("/bin/sh", ["sh", "-c", ${JSON.stringify(script)}], ${JSON.stringify(env)}, utf8(${JSON.stringify(input)}), ${deadlineMs});
      if (typeof ended === "number") say({ errno: -ended });
      else say({ ...ended, stdout: text(ended.stdout), stderr: text(ended.stderr), ms: (host.nanoseconds() - before) / 1e6 });`);
    return run(executable)[0] as {
      status: number;
      timedOut: boolean;
      stdout: string;
      stderr: string;
      ms: number;
      errno?: number;
    };
  }

  test("gets its input, its environment and nothing else; what it writes and its exit code come back", () => {
    const { status, timedOut, stdout, stderr } = shell("cat; /usr/bin/env; echo wrong >&2; exit 3", {
      input: "hello\n",
      env: ["A=1"],
    });
    expect({ status, timedOut, stderr }).toEqual({ status: 3 << 8, timedOut: false, stderr: "wrong\n" });
    expect(stdout.split("\n")).toEqual(expect.arrayContaining(["hello", "A=1"]));
    expect(stdout).not.toMatch(/HOME|CNI_/);
  });

  test("sees the name it is given", () => {
    const executable = executableOf(
      `${decode} const { stdout } = host.run("/bin/sh", ["other-name", "-c", "echo $0"], [], utf8(""), 60000); say(text(stdout))`,
    );
    expect(run(executable)).toEqual(["other-name\n"]);
  });

  test("that is killed says by which signal", () => {
    expect(shell("kill -TERM $$").status).toBe(15);
  });

  test("that cannot be started is an errno: missing, no permission, no program, being written", () => {
    const folder = mkdtempSync(join(tmpdir(), "podwire-program-"));
    writeFileSync(join(folder, "plain"), "#!/bin/sh\n");
    writeFileSync(join(folder, "odd"), "\u007fELF");
    writeFileSync(join(folder, "busy"), "#!/bin/sh\n");
    for (const name of ["odd", "busy"]) chmodSync(join(folder, name), 0o755);
    const writing = openSync(join(folder, "busy"), "r+");
    const files = ["missing", "plain", "odd", "busy"].map((name) => join(folder, name));
    const executable = executableOf(
      `say(${JSON.stringify(files)}.map((file) => host.run(file, ["x"], [], utf8(""), 1000)))`,
    );
    expect(run(executable)[0]).toEqual([-2, -13, -8, -26]);
    closeSync(writing);
  });

  test("that takes too long is killed at its deadline, also when it ignores signals or closed its streams", () => {
    for (const script of ["sleep 120", "trap '' TERM INT; while :; do sleep 1; done", "exec >&- 2>&- <&-; sleep 120"]) {
      const { status, timedOut, ms } = shell(script, { deadlineMs: 300 });
      expect({ script, status, timedOut }).toEqual({ script, status: 9, timedOut: true });
      expect(ms).toBeGreaterThanOrEqual(300);
      expect(ms).toBeLessThan(60_000);
    }
  });

  test("that left a child which holds its streams open is not waited for beyond its own end", () => {
    const { status, stdout, ms } = shell("sleep 120 & echo $!", { deadlineMs: 100_000 });
    process.kill(Number(stdout));
    expect(status).toBe(0);
    expect(ms).toBeLessThan(60_000);
  });

  test("may write much, read nothing of a large input, or stop reading: nothing blocks and nothing is lost", () => {
    expect(shell("head -c 5000000 /dev/zero | tr '\\0' x").stdout).toHaveLength(5_000_000);
    expect(shell("exit 0", { input: "x".repeat(1_000_000) }).status).toBe(0);
    expect(shell("head -c 10", { input: "y".repeat(1_000_000) }).stdout).toBe("yyyyyyyyyy");
    expect(shell("cat", { input: "z".repeat(1_000_000) }).stdout).toHaveLength(1_000_000);
    expect(shell("cat >&2; cat", { input: "z".repeat(1_000_000) }).stderr).toHaveLength(1_000_000);
  });

  test("that writes more than 64 MiB is killed: EFBIG", () => {
    expect(shell("head -c 80000000 /dev/zero")).toEqual({ errno: 27 });
  });

  test("has SIGPIPE as every program, though podwire ignores it", () => {
    expect(shell("yes | head -n 1; echo done").stdout).toBe("y\ndone\n");
    const ignored = /SigIgn:\s*(\w+)/.exec(shell("grep SigIgn /proc/self/status").stdout)![1];
    expect((BigInt(`0x${ignored}`) >> 12n) & 1n).toBe(0n); // what else this test's own parent ignores is inherited
  });

  test("inherits no descriptor but 0 to 2", async () => {
    const executable = executableOf(`${decode} host.open("/etc/passwd", 0, 0);
      const { stdout } = host.run("/bin/sh", ["sh", "-c", "ls /proc/self/fd"], ["PATH=/bin:/usr/bin"], utf8(""), 60000); say(text(stdout))`);
    const inherited = openSync("/etc/hostname", "r");
    const child = spawn(executable, [], { stdio: ["ignore", "pipe", "inherit", inherited, inherited] });
    let said = "";
    child.stdout!.on("data", (data) => (said += data));
    await new Promise((resolve) => child.once("close", resolve));
    closeSync(inherited);
    // the fourth is the folder that ls itself lists
    expect((JSON.parse(said) as string).trim().split("\n")).toEqual(["0", "1", "2", "3"]);
  });

  test("is waited for also by a process whose parent ignores SIGCHLD", () => {
    const executable = executableOf('say(host.run("/bin/sh", ["sh", "-c", "exit 4"], [], utf8(""), 60000).status)');
    expect(run("/usr/bin/env", ["--ignore-signal=CHLD", executable])).toEqual([4 << 8]);
  });
});

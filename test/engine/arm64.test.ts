import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { executable, root } from "../harness/paths.ts";
import { arm64, arm64Podwire, executableOf, run, startable } from "./engine.ts";

// podwire for arm64, run by qemu-user, which has the kernel of this machine behind it: what the engine does on another
// processor. Wiring is not tried so: qemu-user translates netlink messages in part only.

const folder = mkdtempSync(join(tmpdir(), "podwire-arm64-"));
const digest = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
symlinkSync(arm64Podwire, join(folder, "podwire"));

/** One call of podwire by the name of a plugin; `command` is where it is. */
function call(command: string, verb: string, config: object | string, more: Record<string, string> = {}) {
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", CNI_COMMAND: verb, CNI_PATH: "/nowhere", ...more };
  const input = typeof config === "string" ? config : JSON.stringify(config);
  const { status, stdout, stderr } = spawnSync(command, [], { env, input, encoding: "utf8" });
  return { status, stdout, stderr };
}

const commands = { native: executable, arm64: startable(join(folder, "podwire"), arm64) };

/** What both say to the same call. */
const both = (...args: [string, object | string, Record<string, string>?]) => ({
  native: call(commands.native, ...args),
  arm64: call(commands.arm64, ...args),
});

describe("podwire for arm64", () => {
  test("is one static file of that machine, not position independent", () => {
    const bytes = readFileSync(arm64Podwire);
    expect([bytes.readUInt16LE(16), bytes.readUInt16LE(18)]).toEqual([2 /* ET_EXEC */, 183 /* EM_AARCH64 */]);
    expect(bytes.includes(root)).toBe(false);
  });

  test("has a heap that comes out the same whatever the environment, the folder and the clock are", () => {
    const [script, rehearsal] = [join(root, ".cache/podwire.js"), join(root, ".cache/rehearsal.js")];
    const digests = [{}, { HOME: "/nowhere", TZ: "Asia/Tokyo", A: "x".repeat(50_000) }].map((env, at) => {
      const out = join(folder, `again-${at}`);
      execFileSync("/usr/bin/qemu-aarch64", [arm64.engine, script, out, rehearsal], {
        env,
        cwd: at === 0 ? "/" : folder,
      });
      return digest(out);
    });
    expect(new Set(digests)).toEqual(new Set([digest(arm64Podwire)]));
  });

  test.each<[string, string, object | string, Record<string, string>]>([
    ["VERSION", "VERSION", { cniVersion: "1.0.0" }, {}],
    ["a version nobody knows", "VERSION", { cniVersion: "9.0.0" }, {}],
    ["JSON that is none", "ADD", '{"name": "net",\n  "type": }', {}],
    ["JSON nested too deep", "ADD", "[".repeat(100_000), {}],
    ["a wrong variable", "ADD", { cniVersion: "1.1.0", name: "net", type: "bridge" }, { CNI_CONTAINERID: "a/b" }],
    [
      "wrong keys",
      "ADD",
      { cniVersion: "1.1.0", name: "net", type: "bridge", mtu: -1, vlan: 5000, ipam: { type: "host-local" } },
      { CNI_CONTAINERID: "c", CNI_IFNAME: "eth0", CNI_NETNS: "/proc/1/ns/none" },
    ],
    [
      "no namespace",
      "ADD",
      { cniVersion: "1.1.0", name: "net", type: "bridge" },
      { CNI_CONTAINERID: "c", CNI_IFNAME: "eth0", CNI_NETNS: "/nowhere" },
    ],
  ])("answers as the native one: %s", (_what, verb, config, env) => {
    const { native, arm64: other } = both(verb, config, env);
    expect(other).toEqual(native);
    expect(JSON.parse(native.stdout)).toHaveProperty("cniVersion");
  });

  test("leases addresses as the native one does: the same results, the same files", () => {
    const seen = Object.entries(commands).map(([name, command]) => {
      const dataDir = join(folder, `leases-${name}`);
      const config = {
        cniVersion: "1.1.0",
        name: "net",
        type: "host-local",
        ipam: { type: "host-local", dataDir, ranges: [[{ subnet: "10.9.0.0/29" }], [{ subnet: "fd00:9::/64" }]] },
      };
      const verb = (what: string, id: string, more: object = {}) =>
        call(command, what, { ...config, ...more }, { CNI_CONTAINERID: id, CNI_IFNAME: "eth0", CNI_NETNS: "/nowhere" });
      const answers = [..."abcde"]
        .map((id) => verb("ADD", id))
        .concat(verb("CHECK", "b"), verb("CHECK", "never"), verb("DEL", "b"), verb("ADD", "f"), verb("ADD", "g"));
      const files = execFileSync("sh", ["-c", 'cd "$1" && grep -r . net | sort', "sh", dataDir], { encoding: "utf8" });
      const gc = verb("GC", "", { "cni.dev/valid-attachments": [{ containerID: "a", ifname: "eth0" }] });
      return {
        answers: answers.map(({ status, stdout }) => ({ status, stdout: stdout.replaceAll(dataDir, "") })),
        files,
        gc: gc.status,
      };
    });
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]!.files).toContain("net/10.9.0.2:a");
    rmSync(join(folder, "leases-native"), { recursive: true });
  });

  test("ends in words where its own limits are reached: stack and memory", () => {
    const deep = executableOf(
      "const dig = () => dig() + 1; try { dig(); } catch (error) { say(error instanceof Error) }",
      { machine: arm64 },
    );
    expect(run(deep)).toEqual([true]);
    const large = executableOf(
      'try { const all = []; for (;;) all.push("x".repeat(1 << 24) + all.length); } catch { say("full") }',
      { machine: arm64 },
    );
    expect(run(large)).toEqual(["full"]);
  });
});

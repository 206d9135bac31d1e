import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { delegateAdd, delegateVerb } from "../../../src/ipam/delegate.ts";
import { CniError } from "../../../src/cni/error.ts";
import { quietLog } from "../../../src/cni/log.ts";
import { startProcess } from "../../../src/kernel/process.ts";
import { formatPrefix } from "../../../src/net/ip.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "delegate-"));
  startProcess(["bridge"], [`PATH=${process.env["PATH"]}`, "CNI_COMMAND=ADD", "CNI_ARGS=A=b"]);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A plugin made of shell, and a call that finds it; it notes its verbs in the file `verbs`. */
function plugin(script: string, name = "fake"): void {
  writeFileSync(join(folder, name), `#!/bin/sh\necho $CNI_COMMAND >>${folder}/verbs\n${script}\n`);
  chmodSync(join(folder, name), 0o755);
}
const stdin = Buffer.from('{"cniVersion":"1.0.0", "name":"n",  "odd" : [1]}\n');
const call = (more: object = {}) => ({
  verb: "ADD" as const,
  path: folder,
  stdin,
  cniVersion: "1.0.0",
  log: quietLog(),
  ...more,
});
const verbs = (): string[] =>
  existsSync(join(folder, "verbs")) ? readFileSync(join(folder, "verbs"), "utf8").trim().split("\n") : [];
const failure = (work: () => unknown): Pick<CniError, "code" | "message" | "details"> => {
  try {
    work();
  } catch (error) {
    if (error instanceof CniError) return { code: error.code, message: error.message, details: error.details };
    throw error;
  }
  throw new Error("it did not fail");
};
const answer =
  '{"cniVersion":"1.0.0","interfaces":[{"name":"x"}],"ips":[{"address":"10.0.0.5/24","gateway":"10.0.0.1","interface":0}],"routes":[{"dst":"0.0.0.0/0"}]}';

describe("delegateAdd", () => {
  it("hands over the whole configuration and environment, with the verb in place of ours", () => {
    plugin(`cat >${folder}/stdin; env >${folder}/environment; echo '${answer}'`);
    startProcess(["bridge"], ["CNI_COMMAND=CHECK", "CNI_ARGS=A=b", "OWN=x", `PATH=${process.env["PATH"]}`]);
    delegateAdd(call({}), "fake");
    expect(readFileSync(join(folder, "stdin"))).toEqual(stdin);
    const environment = readFileSync(join(folder, "environment"), "utf8").split("\n");
    expect(environment).toEqual(expect.arrayContaining(["CNI_COMMAND=ADD", "CNI_ARGS=A=b", "OWN=x"]));
  });

  it("returns the result without interfaces and what points to them", () => {
    plugin(`echo '${answer}'`);
    const { interfaces, ips, routes } = delegateAdd(call(), "fake");
    expect(interfaces).toEqual([]);
    expect(ips.map((ip) => [formatPrefix(ip.address), ip.interface])).toEqual([["10.0.0.5/24", undefined]]);
    expect(routes).toHaveLength(1);
    expect(verbs()).toEqual(["ADD"]);
  });

  it("understands the answer of a plugin that speaks another version", () => {
    plugin(`echo '{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/24"}}'`);
    expect(delegateAdd(call(), "fake").ips).toHaveLength(1);
  });

  it("passes on the plugin's own error unchanged", () => {
    plugin(`echo noise >&2; echo '{"code":123,"msg":"no more","details":"of them","cniVersion":"0.4.0"}'; exit 1`);
    expect(failure(() => delegateAdd(call(), "fake"))).toEqual({ code: 123, message: "no more", details: "of them" });
  });

  it.each([
    ["echo broken >&2; exit 3", 999, "exit status 3", "broken"],
    ["echo not json; echo broken >&2; exit 1", 999, "exit status 1", "not json\nbroken"],
    ["echo '{}'; exit 1", 999, "exit status 1", "{}"],
    ["kill -9 $$", 999, "killed by SIGKILL", ""],
    ["echo not json", 6, "not JSON", "not json\n"],
    ["true", 6, "not JSON", ""],
    [`echo '{"cniVersion":"7"}'`, 6, 'unsupported CNI result version "7"', ""],
    [`echo '{"ips":[{"address":"x"}]}'`, 6, 'invalid result of plugin "fake": ips[0].address', ""],
  ])("makes sense of a plugin that ends with %s", (script, code, message, details) => {
    plugin(script);
    expect(failure(() => delegateAdd(call(), "fake"))).toEqual({
      code,
      message: expect.stringContaining(message),
      details,
    });
  });

  it("kills a plugin that does not come to an end, with code 11", () => {
    plugin("exec sleep 60");
    expect(failure(() => delegateAdd(call(), "fake", 300))).toMatchObject({
      code: 11,
      message: 'plugin "fake" did not finish ADD within 0.3 s and was killed',
    });
  });
});

describe("delegateVerb", () => {
  it.each(["CHECK", "DEL", "GC", "STATUS"] as const)("runs %s and wants no answer", (verb) => {
    plugin("exit 0");
    delegateVerb(call({ verb }), "fake");
    expect(verbs()).toEqual([verb]);
  });

  it("passes on the plugin's error", () => {
    plugin(`echo '{"code":50,"msg":"down"}'; exit 1`);
    expect(failure(() => delegateVerb(call(), "fake", "STATUS"))).toMatchObject({ code: 50, message: "down" });
    expect(verbs()).toEqual(["STATUS"]);
  });

  it("waits for an executable that is being written", () => {
    plugin("exit 0");
    // a child that holds it open for writing for a moment is what an installer looks like
    const holder = spawnSync("sh", ["-c", `exec 9<>${folder}/fake; sleep 0.3 >/dev/null 2>&1 &`], { stdio: "ignore" });
    expect(holder.status).toBe(0);
    delegateVerb(call({ verb: "DEL" }), "fake");
    expect(verbs()).toEqual(["DEL"]);
  });
});

describe("the search for the plugin", () => {
  it("takes the first regular file in CNI_PATH, links followed", () => {
    const first = join(folder, "first");
    mkdirSync(join(first, "fake"), { recursive: true });
    const second = join(folder, "second");
    mkdirSync(second);
    plugin("exit 0", "real");
    symlinkSync(join(folder, "real"), join(second, "fake"));
    delegateVerb(call({ path: [join(folder, "missing"), first, second].join(":") }), "fake", "DEL");
    expect(verbs()).toEqual(["DEL"]);
  });

  it("names ipam.type and CNI_PATH when nothing is found, and runs nothing", () => {
    expect(failure(() => delegateAdd(call({ path: "/a:/b" }), "fake"))).toMatchObject({
      code: 7,
      message: 'failed to find plugin "fake": the executable that ipam.type names is not in CNI_PATH [/a /b]',
    });
    expect(failure(() => delegateVerb(call({ path: "" }), "fake"))).toMatchObject({
      code: 4,
      message: expect.stringContaining("CNI_PATH is not set"),
    });
  });

  it("says which file cannot be executed", () => {
    writeFileSync(join(folder, "fake"), "no program", { mode: 0o644 });
    expect(failure(() => delegateVerb(call(), "fake"))).toMatchObject({
      code: 7,
      message: `cannot run plugin "fake" (${folder}/fake)`,
    });
  });

  it.each(["", ".", "..", "../fake", "/bin/sh", "a/b"])("refuses the name %j", (name) => {
    expect(failure(() => delegateAdd(call(), name))).toMatchObject({
      code: 7,
      message: expect.stringContaining(`ipam.type is ${JSON.stringify(name)}`),
    });
  });
});

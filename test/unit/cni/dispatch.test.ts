import { describe, expect, it } from "vitest";
import { type Edges, toCniError } from "../../../src/protocol/dispatch.ts";
import { CniError } from "../../../src/cni/error.ts";
import type { Plugin } from "../../../src/cni/invocation.ts";
import { noDns } from "../../../src/cni/result.ts";
import { utf8, environment, world } from "./dispatch-world.ts";

const command = (verb: string): Partial<Edges> => ({ environment: { ...environment, CNI_COMMAND: verb } });

describe("a call", () => {
  it("reaches the plugin with everything checked, and its result is printed in the configuration's version", () => {
    const { calls, stdout, exitCode } = world();
    expect(exitCode).toBe(0);
    expect(stdout).toBe(
      '{\n    "cniVersion": "1.0.0",\n    "ips": [\n        {\n            "address": "10.0.0.2/24"\n        }\n    ]\n}\n',
    );
    const [verb, call] = calls[0]!;
    expect(verb).toBe("add");
    expect(call).toMatchObject({
      verb: "ADD",
      containerId: "c1",
      netns: "/ns",
      ifname: "eth0",
      args: "A=secret",
      path: "/bin",
      network: "n",
      cniVersion: "1.0.0",
    });
    expect(call.stdin).toEqual(utf8('{"cniVersion":"1.0.0","name":"n","type":"bridge","secret":"secret"}'));
  });

  it.each([
    ["CHECK", "check"],
    ["DEL", "del"],
    ["GC", "gc"],
    ["STATUS", "status"],
  ])("of %s says nothing when it works", (verb, method) => {
    const stdin = '{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[]}';
    const { calls, stdout, exitCode } = world({ ...command(verb), stdin });
    expect([stdout, exitCode]).toEqual(["", 0]);
    expect(calls.map(([name]) => name)).toEqual([method]);
  });
});

describe("VERSION", () => {
  const supported = '"supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n';
  it.each([
    ["", "1.1.0"],
    ["garbage", "1.1.0"],
    ["{}", "1.1.0"],
    ["[]", "1.1.0"],
    ['{"cniVersion":"0.3.1"}', "0.3.1"],
    ['{"cniVersion":"7"}', "1.1.0"],
  ])("with %j on standard input speaks %s", (stdin, version) => {
    expect(world({ ...command("VERSION"), stdin })).toMatchObject({
      stdout: `{"cniVersion":"${version}",${supported}`,
      exitCode: 0,
      calls: [],
    });
  });

  it("does not wait long for somebody to type", () => {
    const waits: (number | undefined)[] = [];
    const readStdin = (ms?: number) => (waits.push(ms), new Uint8Array(0));
    world({ ...command("VERSION"), readStdin });
    expect(waits).toEqual([expect.any(Number)]);
  });
});

describe("an error", () => {
  it("is JSON with the configuration's version, code, message and details, and exit code 1", () => {
    const { stdout, exitCode } = world({
      act: () => {
        throw new CniError(11, "try <again>", "the lock");
      },
    });
    expect(stdout).toBe(
      '{\n    "cniVersion": "1.0.0",\n    "code": 11,\n    "msg": "try \\u003cagain\\u003e",\n    "details": "the lock"\n}\n',
    );
    expect(exitCode).toBe(1);
  });

  it("leaves out details that say nothing", () => {
    expect(
      world({
        act: () => {
          throw new CniError(7, "no");
        },
      }).json,
    ).toEqual({ cniVersion: "1.0.0", code: 7, msg: "no" });
  });

  it("about the environment comes before standard input is read", () => {
    const readStdin = () => {
      throw new Error("it was read");
    };
    expect(world({ environment: { CNI_COMMAND: "ADD" }, readStdin }).json).toEqual({
      cniVersion: "1.1.0",
      code: 4,
      msg: "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME] missing",
    });
  });

  it("about standard input has code 5, about its text 6, and nothing is done", () => {
    expect(
      world({
        readStdin: () => {
          throw new Error("EBADF");
        },
      }),
    ).toMatchObject({ json: { code: 5, msg: "error reading from stdin: EBADF" }, calls: [] });
    expect(world({ stdin: "{" })).toMatchObject({ json: { code: 6, cniVersion: "1.1.0" }, calls: [] });
  });

  it("about the configuration's base stops the call", () => {
    expect(world({ stdin: '{"cniVersion":"0.4.0"}' })).toMatchObject({
      json: { code: 7, msg: "missing network name", cniVersion: "0.4.0" },
      calls: [],
    });
    expect(world({ stdin: '{"cniVersion":"9","name":"n"}' })).toMatchObject({
      json: { code: 1, cniVersion: "1.1.0" },
      calls: [],
    });
    expect(world({ ...command("CHECK"), stdin: '{"cniVersion":"0.3.1","name":"n"}' })).toMatchObject({
      json: { code: 1, cniVersion: "0.3.1" },
      calls: [],
    });
  });

  it("nobody expected is code 999 with its cause, and no stack", () => {
    const { stdout, json } = world({
      act: () => {
        throw new TypeError("x is undefined", { cause: new Error("deeper") });
      },
    });
    expect(json).toEqual({ cniVersion: "1.0.0", code: 999, msg: "internal error: x is undefined", details: "deeper" });
    expect(stdout).not.toMatch(/at .*:\d+|\.ts/);
    expect(
      world({
        act: () => {
          throw "text";
        },
      }).json,
    ).toMatchObject({ code: 999, details: "text" });
  });

  it("of a result that the version cannot say is an error of the call", () => {
    const plugin = {
      name: "bridge",
      known: () => "anything",
      add: () => ({ interfaces: [], ips: [], routes: [], dns: noDns() }),
    } as unknown as Plugin;
    expect(world({ stdin: '{"name":"n","type":"bridge"}', findPlugin: () => plugin }).json).toMatchObject({
      cniVersion: "0.1.0",
      msg: expect.stringContaining("cannot convert"),
    });
  });
});

describe("toCniError", () => {
  const system = (syscall: string, code: string) =>
    Object.assign(new Error(`${syscall}: failed (${code})`), { name: "SystemError", syscall, code });

  it("gives failed file calls code 5, passing troubles 11, the rest 999", () => {
    expect(toCniError(system("open", "ENOSPC")).code).toBe(5);
    expect(toCniError(system("fsync", "EIO")).code).toBe(5);
    expect(toCniError(system("open", "EMFILE")).code).toBe(11);
    expect(toCniError(system("send", "ENOBUFS")).code).toBe(11);
    expect(toCniError(system("create veth x", "EEXIST")).code).toBe(999);
    expect(toCniError(system("open", "EROFS")).message).toBe("open: failed (EROFS)");
  });

  it("takes what an engine without memory throws for a lack of memory", () => {
    expect(toCniError(null)).toMatchObject({ code: 11, message: "podwire ran out of memory" });
    expect(
      world({
        readStdin: () => {
          throw null;
        },
      }),
    ).toMatchObject({ json: { code: 11, msg: "podwire ran out of memory" }, calls: [] });
  });
});

describe("which plugin", () => {
  const chosen = (invokedAs: string, stdin: string) => {
    const names: string[] = [];
    const findPlugin = (name: string) => (
      names.push(name),
      name === "ptp" || name === "bridge" ? ({ name, del: () => undefined } as unknown as Plugin) : undefined
    );
    const { json } = world({ ...command("DEL"), invokedAs, stdin, findPlugin });
    return json ?? names.at(-1);
  };

  it("is what the executable was called by, whatever the type", () => {
    expect(chosen("ptp", '{"name":"n","type":"bridge"}')).toBe("ptp");
  });

  it("is the configuration's type when that name is no plugin's", () => {
    expect(chosen("podwire", '{"name":"n","type":"ptp"}')).toBe("ptp");
    expect(chosen("podwire", '{"name":"n","Type":"ptp"}')).toBe("ptp");
    expect(chosen("podwire", '{"name":"n"}')).toMatchObject({ code: 7 });
    expect(chosen("podwire", '{"name":"n","plugins":[{"type":"ptp"}]}')).toMatchObject({ code: 7 });
    expect(chosen("bridge", '{"name":"n"}')).toBe("bridge");
    expect(chosen("podwire", '{"name":"n","type":"podwire"}')).toBe("bridge");
    expect(chosen("podwire-0.1", '{"name":"n","type":"podwire"}')).toBe("bridge");
  });

  it.each(['{"name":"n"}', '{"name":"n","type":""}', '{"name":"n","type":null}'])(
    "must be named for ADD, whatever the executable was called by: %s",
    (stdin) => {
      const { json, calls } = world({ stdin });
      expect(json).toMatchObject({
        code: 7,
        msg: "invalid configuration: type is missing, must be the name of a plugin",
      });
      expect(calls).toEqual([]);
      expect(world({ stdin: '{"name":"n","TYPE":"any"}' }).calls).toHaveLength(1);
      expect(world({ ...command("DEL"), stdin }).calls).toHaveLength(1);
    },
  );

  it("must exist", () => {
    expect(chosen("podwire", '{"name":"n","type":"macvlan"}')).toMatchObject({
      code: 7,
      msg: 'invalid configuration: type is "macvlan", must be one of bridge, ptp',
    });
  });
});

describe("the log", () => {
  const logged = (more: Parameters<typeof world>[0]) =>
    world(more).lines.map(([file, line]) => [file, JSON.parse(line) as Record<string, unknown>] as const);

  it("is kept when the configuration or PODWIRE_LOG says so, without configuration and arguments", () => {
    const config = logged({
      stdin: '{"name":"n","type":"bridge","secret":"secret","log":{"file":"/log"}}',
      act: (call) => call.log.step("veth", () => undefined),
    });
    expect(config).toMatchObject([
      [
        "/log",
        {
          verb: "ADD",
          plugin: "bridge",
          network: "n",
          container: "c1",
          interface: "eth0",
          outcome: "ok",
          steps: [{ name: "veth" }],
        },
      ],
    ]);
    expect(JSON.stringify(config)).not.toContain("secret");
    expect(logged({ environment: { ...environment, PODWIRE_LOG: "/other" } })).toMatchObject([
      ["/other", { outcome: "ok" }],
    ]);
    expect(logged({})).toEqual([]);
  });

  it("has the outcome of a call that failed, a wrong configuration too", () => {
    expect(logged({ stdin: '{"name":"","log":{"file":"/log"}}' })).toMatchObject([
      ["/log", { outcome: "failed", code: 7, msg: "missing network name" }],
    ]);
  });

  it("that cannot be written never fails the call", () => {
    const append = () => {
      throw new Error("disk full");
    };
    const { exitCode, complaints } = world({ stdin: '{"name":"n","type":"bridge","log":{"file":"/log"}}', append });
    expect(exitCode).toBe(0);
    expect(complaints).toEqual(["cannot write the log: disk full"]);
  });

  it("that nobody asked for lets warnings out on standard error", () => {
    expect(world({ act: (call) => call.log.warn("careful") }).complaints).toEqual(["warning: careful"]);
  });
});

import { describe, expect, it } from "vitest";
import { answerVersion, parseBase, parseDocument, readLogSettings, readType } from "../../../src/protocol/config.ts";
import { CniError } from "../../../src/cni/error.ts";
import type { JsonObject, Verb } from "../../../src/cni/invocation.ts";
import { quietLog } from "../../../src/cni/log.ts";

const warnings: string[] = [];
const base = (config: JsonObject, verb: Verb = "ADD") => {
  warnings.length = 0;
  return parseBase(
    config,
    verb,
    quietLog((message) => warnings.push(message)),
  );
};
const refusal = (work: () => unknown): [number, string, string] => {
  try {
    work();
  } catch (error) {
    if (error instanceof CniError) return [error.code, error.message, error.details];
    throw error;
  }
  throw new Error("it was accepted");
};

const document = (text: string) => parseDocument(new TextEncoder().encode(text));

describe("parseDocument", () => {
  it("takes an object, keys as written, and null as an empty one", () => {
    expect(document(' {"Name":"n"}\n')).toEqual({ Name: "n" });
    expect(document("null")).toEqual({});
  });

  it.each(["", "  ", "{", '{"a":1} x', "{'a':1}", "[]", '"x"', "5", "\ufeff{}"])("refuses %j with code 6", (text) => {
    const [code, message] = refusal(() => document(text));
    expect([code, message]).toEqual([6, expect.stringContaining("error unmarshall network config")]);
  });

  it("says where a text stops being JSON", () => {
    expect(refusal(() => document('{\n  "name": "n",\n  "mtu": 01\n}'))).toEqual([
      6,
      "error unmarshall network config: it is not JSON",
      'line 3, column 11: expected "," or "}", found "1"',
    ]);
    expect(refusal(() => document("stack"))).toEqual([
      6,
      "error unmarshall network config: it is not JSON",
      'line 1, column 1: expected a value, found "s"',
    ]);
  });

  it("names a byte order mark, which a person does not see", () => {
    expect(refusal(() => document("\ufeff{}"))[1]).toBe(
      "error unmarshall network config: it begins with a byte order mark (U+FEFF), which JSON does not have",
    );
  });

  it("takes bytes that are no UTF-8 for U+FFFD", () => {
    expect(
      parseDocument(
        Uint8Array.of(...new TextEncoder().encode('{"name":"'), 0xc3, 0x28, ...new TextEncoder().encode('"}')),
      ),
    ).toEqual({ name: "\ufffd(" });
  });

  it.each([
    ["RangeError", "Maximum call stack size exceeded"],
    ["InternalError", "stack overflow"],
  ])("is not stopped by the engine's stack (%s)", (name, message) => {
    const { parse } = JSON;
    JSON.parse = () => {
      throw Object.assign(new RangeError(message), { name });
    };
    try {
      expect(refusal(() => document("[[[["))).toEqual([
        6,
        "error unmarshall network config: it is nested too deeply",
        "",
      ]);
    } finally {
      JSON.parse = parse;
    }
  });
});

describe("parseBase", () => {
  it("reads name and version, in any case; no version is 0.1.0", () => {
    expect(base({ NAME: "n", CNIversion: "1.0.0" })).toMatchObject({
      network: "n",
      cniVersion: "1.0.0",
      validAttachments: [],
    });
    expect(base({ name: "n" }).cniVersion).toBe("0.1.0");
    expect(base({ name: "n", cniVersion: "" }).cniVersion).toBe("0.1.0");
    expect(base({ name: "n" })).not.toHaveProperty("prevResult");
  });

  it("refuses a missing or unfit name with code 7", () => {
    for (const config of [{}, { name: "" }, { name: null }]) {
      expect(refusal(() => base(config))).toEqual([7, "missing network name", ""]);
    }
    expect(refusal(() => base({ name: "a/b" }))).toEqual([
      7,
      expect.stringContaining("invalid characters found in network name"),
      "a/b",
    ]);
    expect(refusal(() => base({ name: ".." }, "DEL"))[0]).toBe(7);
  });

  it("names all wrong types at once with code 7", () => {
    const [code, message] = refusal(() => base({ name: 1, cniVersion: 1.1, log: { level: "all" } }));
    expect(code).toBe(7);
    expect(message).toContain(
      'name is 1, must be text; cniVersion is 1.1, must be text; log.level is "all", must be "error" or "warn"',
    );
  });

  it("refuses an unsupported version, and verbs the version does not know, with code 1", () => {
    expect(refusal(() => base({ name: "n", cniVersion: "2.0.0" }))[0]).toBe(1);
    expect(refusal(() => base({ name: "n", cniVersion: "0.3.1" }, "CHECK"))[1]).toBe(
      "config version does not allow CHECK",
    );
    expect(refusal(() => base({ name: "n", cniVersion: "1.0.0" }, "GC"))[1]).toBe("config version does not allow GC");
    expect(refusal(() => base({ name: "n" }, "STATUS"))[1]).toBe("config version does not allow STATUS");
  });

  it("decodes prevResult; ADD and CHECK refuse a bad one, DEL, GC and STATUS go on without it", () => {
    const good = {
      name: "n",
      cniVersion: "1.1.0",
      prevResult: { ips: [{ address: "10.0.0.1/8" }] },
      "cni.dev/valid-attachments": [],
    };
    expect(base(good).prevResult?.ips).toHaveLength(1);
    for (const prevResult of [5, "x", [], { ips: [{}] }, { cniVersion: "0.2.0" }]) {
      const bad = { ...good, prevResult };
      for (const verb of ["ADD", "CHECK"] as const) {
        expect(refusal(() => base(bad, verb))).toEqual([7, expect.stringContaining("prevResult"), ""]);
      }
      for (const verb of ["DEL", "GC", "STATUS"] as const) {
        expect(base(bad, verb)).not.toHaveProperty("prevResult");
        expect(warnings).toEqual([
          expect.stringContaining("going on without prevResult: invalid configuration: prevResult"),
        ]);
      }
    }
    expect(base({ ...good, prevResult: null })).not.toHaveProperty("prevResult");
  });

  describe("GC", () => {
    const gc = (more: JsonObject) => base({ name: "n", cniVersion: "1.1.0", ...more }, "GC").validAttachments;

    it("reads what must stay, keys in any case", () => {
      const list = [
        { containerID: "a", ifname: "eth0" },
        { ContainerID: "b", IfName: "net1" },
      ];
      expect(gc({ "cni.dev/valid-attachments": list })).toEqual([
        { containerId: "a", ifname: "eth0" },
        { containerId: "b", ifname: "net1" },
      ]);
      expect(gc({ "cni.dev/valid-attachments": [] })).toEqual([]);
    });

    it.each([[{}], [{ "cni.dev/attachments": [] }]])("does not take a missing list for an empty one: %j", (more) => {
      expect(gc(more)).toBeUndefined();
    });

    it("takes null, as Go writes an empty list, for one, in keys of any case", () => {
      expect(gc({ "CNI.dev/valid-attachments": null })).toEqual([]);
    });

    it.each([[{}], [{ containerID: "a" }], [{ containerID: "", ifname: "eth0" }], [null], ["a"]])(
      "refuses the entry %j",
      (entry) => {
        expect(
          refusal(() => gc({ "cni.dev/valid-attachments": [{ containerID: "a", ifname: "eth0" }, entry] }))[0],
        ).toBe(7);
      },
    );

    it("is the only verb that looks", () => {
      expect(base({ name: "n", "cni.dev/valid-attachments": 5 }, "DEL").validAttachments).toEqual([]);
    });
  });
});

describe("what is read whatever else is wrong", () => {
  it("the version of the answer", () => {
    expect(answerVersion({ cniVersion: "0.4.0", name: 5 })).toBe("0.4.0");
    expect(answerVersion({})).toBe("0.1.0");
    expect(answerVersion({ cniVersion: "9" })).toBe("1.1.0");
    expect(answerVersion({ CniVersion: "0.3.1" })).toBe("0.3.1");
  });

  it("where the log goes", () => {
    expect(readLogSettings({})).toEqual({});
    expect(readLogSettings({ Log: { File: "/x", level: "debug" } })).toEqual({ file: "/x", level: "debug" });
    expect(readLogSettings({ log: { file: "/x", level: "loud" } })).toEqual({ file: "/x" });
    expect(readLogSettings({ log: 5 })).toEqual({});
  });

  it("the type", () => {
    expect(readType({ type: "ptp" })).toBe("ptp");
    expect(readType({})).toBe("");
    expect(refusal(() => readType({ type: 5 }))[1]).toContain("type is 5, must be text");
  });
});

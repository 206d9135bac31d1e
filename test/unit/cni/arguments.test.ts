import { describe, expect, it } from "vitest";
import { readArguments } from "../../../src/cni/arguments.ts";
import { CniError } from "../../../src/cni/error.ts";

const read = (args: string, known: string[] = ["MAC"], verb: "ADD" | "DEL" = "ADD") =>
  readArguments({ verb, args }, known);
const refusal = (args: string): string => {
  try {
    read(args);
  } catch (error) {
    if (error instanceof CniError && error.code === 4) return error.message;
    throw error;
  }
  return "accepted";
};

describe("readArguments", () => {
  it("returns the plugin's own keys, empty values too", () => {
    expect(read("")).toEqual({});
    expect(read("MAC=aa:bb:cc:dd:ee:ff")).toEqual({ MAC: "aa:bb:cc:dd:ee:ff" });
    expect(read("MAC=")).toEqual({ MAC: "" });
    expect(read("MAC=1;MAC=2")).toEqual({ MAC: "2" });
  });

  it("passes over the keys of the other plugin of a delegation", () => {
    expect(read("IP=10.0.0.5;MAC=m", ["MAC"])).toEqual({ MAC: "m" });
    expect(read("IP=10.0.0.5;MAC=m", ["IP"])).toEqual({ IP: "10.0.0.5" });
  });

  it("takes what a runtime of Kubernetes sends, in any order", () => {
    const pairs = ["K8S_POD_NAMESPACE=default", "K8S_POD_NAME=p", "IgnoreUnknown=1", "K8S_POD_UID=u"];
    expect(read(pairs.join(";"))).toEqual({});
    expect(read(pairs.toReversed().join(";"))).toEqual({});
  });

  it.each(["1", "true", "TRUE", "True"])("ignores unknown keys with IgnoreUnknown=%s anywhere", (yes) => {
    expect(read(`A=b;IgnoreUnknown=${yes};C=d`)).toEqual({});
  });

  it("refuses unknown keys, naming all of them; the case of keys counts", () => {
    expect(refusal("A=b;MAC=m;C=d")).toBe('invalid CNI_ARGS: ARGS: unknown args ["A=b" "C=d"]');
    expect(refusal("mac=m")).toContain('unknown args ["mac=m"]');
    expect(refusal("A=b;IgnoreUnknown=0")).toContain('unknown args ["A=b"]');
    expect(refusal("A=b;ignoreunknown=1")).toContain("unknown args");
  });

  it("refuses what is no pair, naming each, even when unknown keys are ignored", () => {
    expect(refusal("IgnoreUnknown=1;")).toContain('invalid pair ""');
    expect(refusal("IgnoreUnknown=1;A=b=c;x")).toBe(
      'invalid CNI_ARGS: ARGS: invalid pair "A=b=c", must be KEY=VALUE; ARGS: invalid pair "x", must be KEY=VALUE',
    );
  });

  it("refuses an IgnoreUnknown that is no boolean", () => {
    expect(refusal("IgnoreUnknown=yes")).toContain('"IgnoreUnknown=yes", must be 1, true, 0 or false');
    expect(refusal("IgnoreUnknown=toString")).toContain("must be 1, true, 0 or false");
  });

  it("never fails on DEL and GC", () => {
    expect(read("x;A=b;MAC=m;IgnoreUnknown=maybe;", ["MAC"], "DEL")).toEqual({ MAC: "m" });
  });

  it("is not impressed by names of prototypes", () => {
    expect(refusal("__proto__=x;constructor=y")).toBe(
      'invalid CNI_ARGS: ARGS: unknown args ["__proto__=x" "constructor=y"]',
    );
  });
});

import { describe, expect, it } from "vitest";
import { parseEnvironment } from "../../../src/protocol/environment.ts";
import { CniError } from "../../../src/cni/error.ts";

const good = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/x",
  CNI_IFNAME: "eth0",
  CNI_ARGS: "A=b",
  CNI_PATH: "/a::/b",
};

const refusal = (environment: Record<string, string | undefined>): string => {
  try {
    parseEnvironment(environment);
  } catch (error) {
    if (error instanceof CniError && error.code === 4) return error.message;
    throw error;
  }
  return "accepted";
};

describe("parseEnvironment", () => {
  it("reads everything a plugin needs", () => {
    expect(parseEnvironment(good)).toEqual({
      verb: "ADD",
      containerId: "c1",
      netns: "/run/netns/x",
      ifname: "eth0",
      args: "A=b",
      path: "/a::/b",
      netnsOverride: false,
    });
  });

  it.each([
    ["ADD", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]],
    ["CHECK", ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]],
    ["DEL", ["CNI_CONTAINERID", "CNI_IFNAME"]],
    ["GC", []],
    ["STATUS", []],
    ["VERSION", []],
  ])("%s needs %j, and an empty variable is a missing one", (verb, names) => {
    const expected = names.length > 0 ? `required env variables [${names.join(",")}] missing` : "accepted";
    expect(refusal({ CNI_COMMAND: verb })).toBe(expected);
    expect(refusal({ CNI_COMMAND: verb, CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "" })).toBe(expected);
  });

  it("lets DEL know the namespace when there is one", () => {
    expect(parseEnvironment({ ...good, CNI_COMMAND: "DEL" }).netns).toBe("/run/netns/x");
    expect(parseEnvironment({ ...good, CNI_COMMAND: "DEL", CNI_NETNS: undefined }).netns).toBe("");
  });

  it("ignores a bad container id and interface name for GC and STATUS", () => {
    for (const verb of ["GC", "STATUS"]) {
      expect(parseEnvironment({ CNI_COMMAND: verb, CNI_CONTAINERID: "-", CNI_IFNAME: "a/b" })).toMatchObject({
        containerId: "",
        ifname: "",
      });
    }
  });

  it("refuses an unknown or missing verb, in upper case only", () => {
    expect(refusal({ CNI_COMMAND: "add" })).toBe("unknown CNI_COMMAND: add");
    expect(refusal({ CNI_COMMAND: "constructor" })).toBe("unknown CNI_COMMAND: constructor");
    expect(refusal({})).toBe("required env variables [CNI_COMMAND] missing");
  });

  it.each(["a", "A.b_c-9", "0", "f".repeat(64), "x".repeat(500)])("accepts the container id %j", (id) => {
    expect(parseEnvironment({ ...good, CNI_CONTAINERID: id }).containerId).toBe(id);
  });

  it.each(["-a", ".a", "_a", "a/b", "a b", "a\n", "ä", "a;b", "../x"])("refuses the container id %j", (id) => {
    expect(refusal({ ...good, CNI_CONTAINERID: id })).toContain(
      `invalid characters in containerID: CNI_CONTAINERID is ${JSON.stringify(id)}, must be`,
    );
  });

  it.each(["e", "eth0", "a".repeat(15), "veth@1", "é0"])("accepts the interface name %j", (name) => {
    expect(parseEnvironment({ ...good, CNI_IFNAME: name }).ifname).toBe(name);
  });

  it.each([".", "..", "a/b", "a:b", "a b", "a\tb", "a\u00a0b", "a".repeat(16), "é".repeat(8)])(
    "refuses the interface name %j",
    (name) => {
      expect(refusal({ ...good, CNI_IFNAME: name })).toContain(
        `invalid interface name: CNI_IFNAME is ${JSON.stringify(name)}, must be 1 to 15 bytes`,
      );
    },
  );

  it("names everything that is wrong or missing at once", () => {
    const message = refusal({ ...good, CNI_CONTAINERID: "-", CNI_NETNS: "", CNI_IFNAME: "a/b" });
    expect(message).toMatch(
      /required env variables \[CNI_NETNS\] missing; .*CNI_CONTAINERID is "-".*; .*CNI_IFNAME is "a\/b"/,
    );
  });

  it.each([
    ["1", true],
    ["true", true],
    ["TRUE", true],
    ["0", false],
    ["yes", false],
    ["", false],
  ])("reads CNI_NETNS_OVERRIDE=%s as %j", (text, said) => {
    expect(parseEnvironment({ ...good, CNI_NETNS_OVERRIDE: text }).netnsOverride).toBe(said);
  });

  it("does without CNI_PATH", () => {
    expect(parseEnvironment({ ...good, CNI_PATH: undefined }).path).toBe("");
  });
});

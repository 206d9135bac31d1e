import { describe, expect, test } from "vitest";
import { parseDhcp, parseSocketPath } from "../../../src/ipam/dhcp-config.ts";
import { decodeUtf8 } from "../../../src/net/bytes.ts";

const parse = (ipam: unknown, args = "") => parseDhcp({ config: { ipam }, args });
const provided = (provide: unknown, args = "") =>
  [...parse({ provide }, args).asked.provide].map(([code, value]) => [code, decodeUtf8(value)]);

describe("the configuration of dhcp", () => {
  test.each<[string, unknown, number[]]>([
    ["none: router and mask", undefined, [3, 1]],
    ["listed ones come first", [{ option: "121" }, { option: "host-name" }], [121, 12, 3, 1]],
    ["skipDefault", [{ option: "121" }, { option: "12", skipDefault: true }], [121, 12]],
    ["skipDefault alone: what the reference's library asks", [{ skipDefault: true }], [1, 3, 15, 6]],
    ["none twice", [{ option: "3" }], [3, 1]],
  ])("request: %s", (_what, request, numbers) => {
    expect(parse({ request }).asked.request).toEqual(numbers);
  });

  test("provide: a value, or an argument's, which counts first; one that is missing is not said", () => {
    const both = { option: "user-class", value: "a", fromArg: "X" };
    expect(provided([{ option: "host-name", value: "web" }, both], "A;X=b=c;")).toEqual([
      [12, "web"],
      [77, "b=c"],
    ]);
    expect(provided([both], "Y=1")).toEqual([]);
  });

  test.each<[string, object, string, RegExp]>([
    ["a number", { provide: [{ option: 12, value: "x" }] }, "", /ipam\.provide\[0\]\.option is 12.*host-name/],
    ["an unknown name", { request: [{ option: "hostname" }] }, "", /ipam\.request\[0\]\.option is "hostname"/],
    ["the end of all options", { request: [{ option: "255" }] }, "", /"1" to "254"/],
    ["no option", { provide: [{ value: "x" }] }, "", /ipam\.provide\[0\]\.option/],
    ["a long value", { provide: [{ option: "12", value: "x".repeat(256) }] }, "", /at most 255 bytes/],
    ["a long argument", { provide: [{ option: "12", fromArg: "X" }] }, `X=${"x".repeat(256)}`, /CNI_ARGS: X is .*255/],
    ["a relative socket", { daemonSocketPath: "x.sock" }, "", /ipam\.daemonSocketPath is "x\.sock"/],
  ])("refuses %s", (_what, ipam, args, why) => {
    expect(() => parse(ipam, args)).toThrow(why);
  });

  test("no ipam is an error that names it; DEL finds the socket whatever else there is", () => {
    expect(() => parseDhcp({ config: {}, args: "" })).toThrow(/ipam/);
    expect(parseSocketPath({ config: {} })).toBe("/run/cni/dhcp.sock");
    expect(parseSocketPath({ config: { ipam: { daemonSocketPath: "/a", provide: 7 } } })).toBe("/a");
    expect(parseSocketPath({ config: { ipam: { daemonSocketPath: 7 } } })).toBe("/run/cni/dhcp.sock");
  });
});

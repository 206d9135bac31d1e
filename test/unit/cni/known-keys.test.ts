import { describe, expect, test } from "vitest";
import { findUnknownKeys, knownBy } from "../../../src/cni/known-keys.ts";
import { anything, flag, list, map, optional, orElse, shape, text } from "../../../src/cni/schema.ts";
import { findPlugin, pluginNames } from "../../../src/plugins/registry.ts";

const known = knownBy([
  shape({ isGateway: flag(), ipam: optional(shape({ type: orElse(text(), "") })), free: optional(anything()) }),
  shape({ ipam: orElse(shape({ ranges: orElse(list(list(shape({ subnet: text() }))), []) }), { ranges: [] }) }),
  shape({ sysctl: optional(map(text())), free: optional(shape({ a: text() })) }),
]);
const unknown = (json: object): string[] =>
  findUnknownKeys(known, json).map(({ path, meant }) => `${path.join(".")}>${meant ?? ""}`);

describe("unknown keys", () => {
  test("are those that none of several readers knows, at every depth and in any case", () => {
    expect(
      unknown({ ISGATEWAY: true, ipam: { Type: "x", ranges: [[{ subnet: "" }]] }, sysctl: { "a.b": "" } }),
    ).toEqual([]);
    expect(unknown({ isGatway: true, other: 1, ipam: { rangse: 1, ranges: [[{}, { subnets: 1 }]] } })).toEqual([
      "isGatway>isGateway",
      "other>",
      "ipam.rangse>ranges",
      "ipam.ranges.0.1.subnets>subnet",
    ]);
  });

  test("are not looked for where somebody reads anything, in what is no object, and in remarks", () => {
    expect(unknown({ free: { b: 1 }, isGateway: { x: 1 }, ipam: [{ x: 1 }], _note: 1, "//": 1, "a.b/c": 1 })).toEqual(
      [],
    );
  });

  test("are few, and long ones mean nothing, however many and long they are", () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`key${at}`, 1]));
    expect(unknown(many)).toHaveLength(100);
    expect(unknown({ ["isGateway".repeat(10_000)]: 1 })[0]).toMatch(/y>$/);
  });

  test.each(pluginNames)("%s knows the keys every plugin has", (name) => {
    const config = { cniVersion: "1.0.0", name: "n", type: name, capabilities: { x: true }, args: { cni: { x: 1 } } };
    const all = { ...config, runtimeConfig: { x: 1 }, prevResult: { x: 1 }, dns: { search: [] }, log: { file: "f" } };
    expect(findUnknownKeys(findPlugin(name)!.known(all), all)).toEqual([]);
  });
});

import { expect, it } from "vitest";
import { printCompactJson, printJson } from "../../../src/cni/json.ts";

it("prints as Go does: four spaces, no newline, empty lists and objects closed", () => {
  expect(printJson({ a: 1, b: [], c: {}, d: [1] })).toBe('{\n    "a": 1,\n    "b": [],\n    "c": {},\n    "d": [\n        1\n    ]\n}');
});

it("escapes what Go escapes", () => {
  expect(printJson("<nil>&\u2028\u2029\n\u007fé")).toBe('"\\u003cnil\\u003e\\u0026\\u2028\\u2029\\n\u007fé"');
  expect(printCompactJson({ a: "<", b: [1] })).toBe('{"a":"\\u003c","b":[1]}');
});

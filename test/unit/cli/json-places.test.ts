import { describe, expect, test } from "vitest";
import { placesIn } from "../../../src/cli/json-places.ts";

const text = `{
  "name" : "a\\"b, {[", "plugins": [ { "type": "x", "Ranges": [[{"subnet": 1}], [ ]] }, {}, -1.5e3, true ],
  "last":{"a":null}
}`;
const find = placesIn(text);
const at = (...path: (string | number)[]): string[] => {
  const { key, value } = find(path);
  return [key, value].map((offset) => text.slice(offset).split("\n")[0]!.slice(0, 8));
};

describe("places in JSON", () => {
  test.each([
    [[], ["{", "{"]],
    [["name"], ['"name" :', '"a\\"b, {']],
    [
      ["plugins", 0],
      ['{ "type"', '{ "type"'],
    ],
    [
      ["plugins", 0, "type"],
      ['"type": ', '"x", "Ra'],
    ],
    [
      ["plugins", 0, "ranges", 0, 0, "subnet"],
      ['"subnet"', "1}], [ ]"],
    ],
    [
      ["plugins", 0, "ranges", 1],
      ["[ ]] }, ", "[ ]] }, "],
    ],
    [
      ["plugins", 1],
      ["{}, -1.5", "{}, -1.5"],
    ],
    [
      ["plugins", 2],
      ["-1.5e3, ", "-1.5e3, "],
    ],
    [
      ["plugins", 3],
      ["true ],", "true ],"],
    ],
    [
      ["last", "a"],
      ['"a":null', "null}"],
    ],
  ])("%j", (path, expected) => {
    expect(at(...path)).toEqual(expected);
  });

  test("what is not there is where it would be", () => {
    expect(at("plugins", 1, "type", "x")).toEqual(at("plugins", 1));
    expect(at("nothing")).toEqual(["{", "{"]);
  });
});

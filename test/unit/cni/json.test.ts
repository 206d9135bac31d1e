import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { explainJson, isStackOverflow, printCompactJson, printJson, tryJson } from "../../../src/cni/json.ts";

it("prints as Go does: four spaces, no newline, empty lists and objects closed", () => {
  expect(printJson({ a: 1, b: [], c: {}, d: [1] })).toBe(
    '{\n    "a": 1,\n    "b": [],\n    "c": {},\n    "d": [\n        1\n    ]\n}',
  );
});

it("escapes what Go escapes, and what a terminal would obey", () => {
  expect(printJson("<nil>&\u2028\u2029\n\u007fé")).toBe('"\\u003cnil\\u003e\\u0026\\u2028\\u2029\\n\\u007fé"');
  expect(printCompactJson({ a: "<", b: [1] })).toBe('{"a":"\\u003c","b":[1]}');
});

describe("a text that is no JSON", () => {
  test.each([
    ["", "line 1, column 1: expected a value, found the end"],
    ["  \n", "line 2, column 1: expected a value, found the end"],
    ["{", 'line 1, column 2: expected a key in double quotes or "}", found the end'],
    ["[1, 2", 'line 1, column 6: expected "," or "]", found the end'],
    ["[1,]", 'line 1, column 4: expected a value, found "]"'],
    ["[1}", 'line 1, column 3: expected "," or "]", found "}"'],
    ['{\n  "a": 1,\n}', 'line 3, column 1: expected a key in double quotes, found "}"'],
    ['{"a" 1}', 'line 1, column 6: expected ":", found "1"'],
    ['{"a": }', 'line 1, column 7: expected a value, found "}"'],
    ["{a: 1}", 'line 1, column 2: expected a key in double quotes or "}", found "a"'],
    ["{'a': 1}", 'line 1, column 2: expected a key in double quotes or "}", found "\'"'],
    ['{"a":1} x', 'line 1, column 9: expected the end of the text, found "x"'],
    ['{"a":1}{"a":1}', 'line 1, column 8: expected the end of the text, found "{"'],
    ["// no\n{}", 'line 1, column 1: expected a value, found "/"'],
    ["[NaN]", 'line 1, column 2: expected a value, found "N"'],
    ["[tru]", 'line 1, column 2: expected a value, found "t"'],
    ["[nullx]", 'line 1, column 6: expected "," or "]", found "x"'],
    ["[01]", 'line 1, column 3: expected "," or "]", found "1"'],
    ["[-]", 'line 1, column 3: expected a digit, found "]"'],
    ["[1.]", 'line 1, column 4: expected a digit, found "]"'],
    ["[1e+]", 'line 1, column 5: expected a digit, found "]"'],
    ["[+1]", 'line 1, column 2: expected a value, found "+"'],
    ["[0x10]", 'line 1, column 3: expected "," or "]", found "x"'],
    ['["a\nb"]', 'line 1, column 4: a control character, "\\n", must be escaped in text'],
    ['["a', "line 1, column 2: this text has no closing quote"],
    [
      '["\\x"]',
      'line 1, column 3: a backslash must be followed by one of " \\ / b f n r t or by u and four hex digits',
    ],
    [
      '["\\u12g4"]',
      'line 1, column 3: a backslash must be followed by one of " \\ / b f n r t or by u and four hex digits',
    ],
    ['["\\', 'line 1, column 3: a backslash must be followed by one of " \\ / b f n r t or by u and four hex digits'],
    ["[😀]", 'line 1, column 2: expected a value, found "U+1F600"'],
    ['["😀", x]', 'line 1, column 7: expected a value, found "x"'],
    ["\u00a0{}", 'line 1, column 1: expected a value, found "U+00A0"'],
    ['\r\n{\r\n"a":\r\nb}', 'line 4, column 1: expected a value, found "b"'],
  ])("%j is explained", (text, why) => {
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
    expect(explainJson(text)).toBe(why);
  });

  /** Valid JSON with something put in, taken out or cut off. */
  const spoiled = fc
    .tuple(
      fc.json(),
      fc.nat(200),
      fc.nat(3),
      fc.oneof(fc.constantFrom(..."{}[],:\"\\0123456789.eE+-tfn /'\n\t\r\u0000u\u2028"), fc.string({ maxLength: 3 })),
    )
    .map(([text, at, length, more]) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + more + text.slice(from + length);
    });
  const lookalike = fc
    .array(
      fc.constantFrom(
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        '"a"',
        "1",
        "-",
        "0",
        ".5",
        "e1",
        "E+",
        "true",
        "null",
        "fals",
        " ",
        "\n",
        "\\",
        "\\u00e4",
        "\u007f",
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join(""));

  test("is one exactly where JSON.parse says so", () => {
    const isJson = (text: string): boolean => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.json().map((text) => JSON.stringify(JSON.parse(text), null, "\t")),
          spoiled,
          lookalike,
          fc.string(),
        ),
        (text) => {
          expect(explainJson(text) === "").toBe(isJson(text));
        },
      ),
      { numRuns: 5000 },
    );
  });

  test("is explained in time that grows with its length alone, however deeply it is nested", () => {
    const depth = 300_000;
    const started = performance.now();
    expect(explainJson("[".repeat(depth))).toBe(`line 1, column ${depth + 1}: expected a value, found the end`);
    expect(explainJson(`${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`)).toBe("");
    expect(explainJson(`${"\n".repeat(depth)}x`)).toBe(`line ${depth + 1}, column 1: expected a value, found "x"`);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

describe("tryJson", () => {
  it("gives the value of a text that is JSON, null too, and undefined for one that is not", () => {
    expect([tryJson('{"a":1}'), tryJson("null"), tryJson(""), tryJson("x")]).toEqual([
      { a: 1 },
      null,
      undefined,
      undefined,
    ]);
  });

  it("takes an error of the engine's stack for one, whatever it is called, but no word in a text", () => {
    expect(
      [
        new RangeError("Maximum call stack size exceeded"),
        Object.assign(new Error("stack overflow"), { name: "InternalError" }),
      ].map(isStackOverflow),
    ).toEqual([true, true]);
    expect(
      [new SyntaxError('"stack" is not valid JSON'), new RangeError("Invalid array length"), null, "stack"].map(
        isStackOverflow,
      ),
    ).toEqual([false, false, false, false]);
  });
});

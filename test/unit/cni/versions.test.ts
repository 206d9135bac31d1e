import { describe, expect, it } from "vitest";
import { assertConvertible, assertVerbAllowed, isAtLeast, parseVersion, versions } from "../../../src/cni/versions.ts";

describe("parseVersion", () => {
  it("takes every version there is, and none or an empty one as 0.1.0", () => {
    for (const version of versions) expect(parseVersion(version)).toBe(version);
    expect(parseVersion(undefined)).toBe("0.1.0");
    expect(parseVersion("")).toBe("0.1.0");
  });

  it.each(["1.0.5", "1.1", "abc", "2.0.0", "1.1.0 ", "v1.0.0"])(
    "refuses %j with code 1 and lists what it speaks",
    (version) => {
      expect(() => parseVersion(version)).toThrow(
        expect.objectContaining({
          code: 1,
          message: "incompatible CNI versions",
          details: `config is "${version}", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]`,
        }),
      );
    },
  );
});

describe("assertVerbAllowed", () => {
  const allowed = (verb: string) =>
    versions.filter((version) => {
      try {
        assertVerbAllowed(verb, version);
        return true;
      } catch (error) {
        expect(error).toMatchObject({ code: 1, message: `config version does not allow ${verb}` });
        return false;
      }
    });

  it("lets each verb in with the version it came with", () => {
    expect(allowed("ADD")).toEqual([...versions]);
    expect(allowed("DEL")).toEqual([...versions]);
    expect(allowed("CHECK")).toEqual(["0.4.0", "1.0.0", "1.1.0"]);
    expect(allowed("GC")).toEqual(["1.1.0"]);
    expect(allowed("STATUS")).toEqual(["1.1.0"]);
  });
});

it("orders versions", () => {
  expect(isAtLeast("0.3.1", "0.3.0")).toBe(true);
  expect(isAtLeast("0.3.0", "0.3.0")).toBe(true);
  expect(isAtLeast("0.3.0", "1.0.0")).toBe(false);
});

it("refuses a result without addresses where the version cannot say it", () => {
  for (const version of ["0.1.0", "0.2.0"]) {
    expect(() => assertConvertible(version, { hasIps: false })).toThrow("cannot convert: no valid IP addresses");
    assertConvertible(version, { hasIps: true });
  }
  for (const version of ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) assertConvertible(version, { hasIps: false });
});

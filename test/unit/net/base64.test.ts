import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { encodeBase64 } from "../../../src/net/base64.ts";

test("base64 is what Node writes, whatever the length", () => {
  for (let length = 0; length < 100; length++) {
    const bytes = randomBytes(length);
    expect(encodeBase64(bytes)).toBe(bytes.toString("base64"));
  }
});

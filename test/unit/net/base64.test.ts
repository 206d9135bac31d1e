import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { decodeBase64, encodeBase64 } from "../../../src/net/bytes.ts";

test("base64 is what Node writes, whatever the length", () => {
  for (let length = 0; length < 100; length++) {
    const bytes = randomBytes(length);
    expect(encodeBase64(bytes)).toBe(bytes.toString("base64"));
    expect(decodeBase64(encodeBase64(bytes))).toEqual(new Uint8Array(bytes));
  }
});

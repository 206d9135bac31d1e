import fc from "fast-check";
import { expect, it } from "vitest";
import { z } from "zod";
import { formatPath } from "../../../src/cni/complaint.ts";
import { CniError } from "../../../src/cni/error.ts";
import { parseConfig, parseLeniently } from "../../../src/cni/reading.ts";
import { choice, flag, integer, list, map, optional, orElse, shape, text } from "../../../src/cni/schema.ts";

const ours = shape({
  bridge: orElse(
    text("a short name", (name) => name.length < 5),
    "cni0",
  ),
  isGateway: flag(),
  mtu: optional(integer(0, 65535)),
  backend: optional(choice("iptables", "nftables")),
  trunk: optional(list(shape({ id: integer(1, 9), min: optional(integer(1, 9)) }))),
  ranges: orElse(list(list(shape({ subnet: text() }))), []),
  ipam: optional(shape({ type: orElse(text(), ""), sysctl: optional(map(text())) })),
});
const theirs = z.object({
  bridge: z
    .string()
    .refine((name) => name.length < 5)
    .default("cni0"),
  isGateway: z.boolean().default(false),
  mtu: z.int().min(0).max(65535).optional(),
  backend: z.enum(["iptables", "nftables"]).optional(),
  trunk: z.array(z.object({ id: z.int().min(1).max(9), min: z.int().min(1).max(9).optional() })).optional(),
  ranges: z.array(z.array(z.object({ subnet: z.string() }))).default([]),
  ipam: z.object({ type: z.string().default(""), sysctl: z.record(z.string(), z.string()).optional() }).optional(),
});

// zod has no word for "null is the same as absent"; schema.test.ts holds that
const junk = fc.jsonValue({ maxDepth: 2 }).filter((value) => !JSON.stringify(value).includes("null"));
/** Mostly what is meant, now and then anything at all. */
const mostly = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 6, arbitrary }, { weight: 1, arbitrary: junk });
const record = (fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc.record({ ...fields, unknown: junk }, { requiredKeys: [] });
const small = mostly(fc.integer({ min: 0, max: 10 }));

const json = mostly(
  record({
    bridge: mostly(fc.string({ maxLength: 7 })),
    isGateway: mostly(fc.boolean()),
    mtu: mostly(fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }))),
    backend: mostly(fc.constantFrom("iptables", "nftables", "Iptables")),
    trunk: mostly(fc.array(mostly(record({ id: small, min: small })), { maxLength: 3 })),
    ranges: mostly(
      fc.array(mostly(fc.array(mostly(record({ subnet: mostly(fc.string()) })), { maxLength: 2 })), { maxLength: 2 }),
    ),
    ipam: mostly(
      record({
        type: mostly(fc.string()),
        sysctl: mostly(fc.dictionary(fc.constantFrom("net.a", "net.A", "b"), mostly(fc.string()))),
      }),
    ),
  }),
);

const pathOf = (path: PropertyKey[]): string => formatPath(path) || "it";

it("agrees with zod on what is valid, what it means, and where everything wrong is", () => {
  fc.assert(
    fc.property(json, (value) => {
      const expected = theirs.safeParse(value);
      try {
        expect({ success: true, data: parseConfig(ours, value) }).toEqual(expected);
      } catch (error) {
        if (!(error instanceof CniError)) throw error;
        expect(expected.success).toBe(false);
        for (const { path } of expected.error!.issues) expect(error.message).toContain(`${pathOf(path)} is `);
        const places = new Set(expected.error!.issues.map(({ path }) => pathOf(path)));
        expect(error.message.split(", must ").length - 1).toBeGreaterThanOrEqual(places.size);
      }
    }),
    { numRuns: 2000 },
  );
});

it("keeps on removal what zod finds valid in what was left", () => {
  fc.assert(
    fc.property(json, (value) => {
      const { value: kept, dropped } = parseLeniently(ours, value);
      expect(theirs.safeParse(kept)).toEqual({ success: true, data: kept });
      const strict = theirs.safeParse(value);
      expect(dropped.length === 0).toBe(strict.success);
      if (strict.success) expect(kept).toEqual(strict.data);
    }),
    { numRuns: 1000 },
  );
});

import { describe, expect, test } from "vitest";
import { decodeAttributes, decodeList, decodeText } from "../../../src/netlink/codec.ts";
import { concatenation } from "../../../src/netlink/nftables/object.ts";
import { everyRuleset } from "./rulesets.ts";
import recorded from "./recorded.json";

// recorded.json: what nft 1.0.6 sends for the same line (NFTA_RULE_EXPRESSIONS, from `nft --debug=mnl`, on x86-64).

/**
 * What nft adds: the number of a set of the same transaction (NFTA_LOOKUP_SET_ID), and an operation that is the default
 * (NFTA_BITWISE_OP 0).
 */
const redundant: Record<string, number> = { lookup: 4, bitwise: 6 };

/** Expressions by name, with their attributes by type, whatever their order. */
const readable = (expressions: Uint8Array): unknown[] =>
  decodeList(expressions).map((item) => {
    const [name, data] = [...decodeAttributes(item)].toSorted(([a], [b]) => a - b).map(([, payload]) => payload);
    const kind = decodeText(name!);
    const attributes = [...decodeAttributes(data!)]
      .filter(([type]) => type !== redundant[kind])
      .toSorted(([a], [b]) => a - b);
    return [
      kind,
      Object.fromEntries(attributes.map(([type, payload]) => [type, Buffer.from(payload).toString("hex")])),
    ];
  });

const rules = everyRuleset
  .flatMap(({ chains }) => chains.flatMap((chain) => chain.rules))
  .filter((rule, at, all) => all.findIndex(({ line }) => line === rule.line) === at);

describe("the bytecode of", () => {
  test.each(rules)("$line", ({ line, expressions }) => {
    const theirs = (recorded as Record<string, string>)[line];
    expect(theirs).toBeDefined();
    expect(readable(Buffer.concat(expressions))).toEqual(readable(Buffer.from(theirs!, "hex")));
  });
});

test("every part of a concatenated key fills whole registers", () => {
  expect(Buffer.from(concatenation(Uint8Array.of(6), Uint8Array.of(0x1f, 0x90))).toString("hex")).toBe(
    "060000001f900000",
  );
});

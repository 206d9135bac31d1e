import { afterEach, describe, expect, test } from "vitest";
import { compareRulesets } from "../../../src/kernel/nftables/compare.ts";
import { NF_DROP, verdict, NFT_RETURN } from "../../../src/netlink/nftables/expression.ts";
import { isFamily, NFPROTO } from "../../../src/netlink/nftables/match.ts";
import { Nftables } from "../../../src/kernel/nftables/nftables.ts";
import { NF_INET } from "../../../src/netlink/nftables/object.ts";
import type { Ruleset } from "../../../src/kernel/nftables/ruleset.ts";
import { sh } from "./node.ts";

afterEach(() => void sh("nft flush ruleset"));

const rules = [
  { line: "meta nfproto ipv6 return", expressions: [...isFamily(6), ...verdict(NFT_RETURN)] },
  { line: "meta nfproto ipv4 drop", expressions: [...isFamily(4), ...verdict(NF_DROP)] },
];
const wanted: Ruleset = {
  table: { family: NFPROTO.INET, name: "t" },
  comment: "",
  sets: [],
  chains: [
    { name: "base", hook: { type: "filter", hook: NF_INET.PRE_ROUTING, priority: -300 }, rules },
    { name: "plain", rules },
  ],
  elements: [],
};

const HOOK = "type filter hook prerouting priority -300;";
const RULES = rules.map(({ line }) => line).join("\n");

/** How a table with these two chains differs from what is wanted. */
function differences(base: string, plain: string): string[] {
  sh(`nft -f - <<'END'
    table inet t {
      chain base {
        ${base}
      }
      chain plain {
        ${plain}
      }
    }
END`);
  return Nftables.use((nft) => compareRulesets(nft, [wanted]));
}

test("nothing where all is as it should be, and rules of others in a base chain", () => {
  expect(differences(`${HOOK}\n${RULES}`, RULES)).toEqual([]);
  sh("nft insert rule inet t base tcp dport 1 accept; nft add rule inet t base tcp dport 2 accept");
  expect(Nftables.use((nft) => compareRulesets(nft, [wanted]))).toEqual([]);
});

describe("what is found changed", () => {
  test.each([
    ["its hook", "type filter hook output priority -300;"],
    ["its priority", "type filter hook prerouting priority -200;"],
    ["its type", "type nat hook prerouting priority -190;"],
    ["being a base chain at all", ""],
  ])("%s", (_what, hook) => {
    expect(differences(`${hook}\n${RULES}`, RULES)).toEqual([
      "nftables table t, chain base: has another hook or priority",
    ]);
  });

  test("the order of rules", () => {
    const reversed = rules
      .toReversed()
      .map(({ line }) => line)
      .join("\n");
    expect(differences(`${HOOK}\n${reversed}`, RULES)).toEqual([
      'nftables table t, chain base: rule "meta nfproto ipv4 drop" is missing or not in its place',
    ]);
  });

  test("a rule besides ours in a chain that is ours alone", () => {
    expect(differences(`${HOOK}\n${RULES}`, `${RULES}\naccept`)).toEqual([
      "nftables table t, chain plain: has 3 rules, not 2",
    ]);
  });

  test("a verdict", () => {
    expect(differences(`${HOOK}\n${RULES}`, RULES.replace("drop", "accept"))).toEqual([
      'nftables table t, chain plain: rule "meta nfproto ipv4 drop" is missing or not in its place',
    ]);
  });
});

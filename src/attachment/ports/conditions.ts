import { CniError, Code } from "../../cni/error.ts";
import { sha512 } from "../../kernel/hash.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import type { Family } from "../../net/ip.ts";
import type { PortsPart } from "../attachment.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import { getTool, runTool } from "../firewall/tool.ts";

// Conditions are text in nft's own language, which only nft can read. A chain named after the text, made once by nft,
// stands in front of the chain of a subnet; pods that come later find it there, and nothing is executed.

/** The chain that has these conditions in front of `chain`, or `chain` itself where there are none. */
export function conditionChain(conditions: readonly string[], chain: string): string {
  if (conditions.length === 0) return chain;
  return `${chain}-if-${sha512(conditions.join("\0")).slice(0, 8)}`;
}

/** Has nft make the chains with conditions that are missing; `chains` are those of the subnets, which must exist. */
export function ensureConditions(
  nft: Nftables,
  { conditions }: PortsPart,
  chains: readonly { family: Family; name: string }[],
): void {
  for (const { family, name } of chains) {
    const chain = conditionChain(conditions[family], name);
    if (chain === name || nft.findChain(INET_TABLE, chain)) continue;
    const rule = `${conditions[family].join(" ")} jump ${name}`;
    runNft(
      family,
      conditions[family],
      `add chain inet podwire ${chain}; flush chain inet podwire ${chain}; add rule inet podwire ${chain} ${rule}\n`,
    );
  }
}

function runNft(family: Family, conditions: readonly string[], script: string): void {
  const text = `conditionsV${family} ${JSON.stringify(conditions)}`;
  const { ok, errors } = runTool(getTool("nft", text), ["-f", "-"], script);
  if (!ok) throw new CniError(Code.InvalidConfig, `nft does not accept ${text}: ${errors}`);
}

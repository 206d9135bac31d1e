import { CniError, Code } from "../../cni/error.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import type { Family } from "../../net/ip.ts";
import type { PortMappings } from "../attachment.ts";
import { INET_TABLE } from "./masquerade.ts";

// Conditions are text in nft's own language, which only nft can read. A chain named after the text, made once by nft, stands
// in front of the chain of a subnet; pods that come later find it there, and nothing is executed.

/** The chain that has these conditions in front of `chain`, or `chain` itself where there are none. */
export function conditionChain(conditions: readonly string[], chain: string): string {
  if (conditions.length === 0) return chain;
  return `${chain}-if-${new Bun.CryptoHasher("sha512").update(conditions.join("\0")).digest("hex").slice(0, 8)}`;
}

/** Has nft make the chains with conditions that are missing; `chains` are those of the subnets, which must exist. */
export function ensureConditions(nft: Nftables, { conditions }: PortMappings, chains: readonly { family: Family; name: string }[]): void {
  for (const { family, name } of chains) {
    const chain = conditionChain(conditions[family], name);
    if (chain !== name && !nft.findChain(INET_TABLE, chain)) runNft(family, conditions[family], `add chain inet podwire ${chain}; flush chain inet podwire ${chain}; add rule inet podwire ${chain} ${conditions[family].join(" ")} jump ${name}\n`);
  }
}

function runNft(family: Family, conditions: readonly string[], script: string): void {
  const text = `conditionsV${family} ${JSON.stringify(conditions)}`;
  const tool = Bun.which("nft", { PATH: process.env.PATH ?? "" });
  if (!tool) throw new CniError(Code.Internal, `cannot find nft in PATH (${process.env.PATH ?? "not set"}); ${text} needs it`);
  const { exitCode, stderr } = Bun.spawnSync([tool, "-f", "-"], { stdin: Buffer.from(script) });
  if (exitCode !== 0) throw new CniError(Code.InvalidConfig, `nft does not accept ${text}: ${stderr.toString().trim().replaceAll("\n", "; ")}`);
}

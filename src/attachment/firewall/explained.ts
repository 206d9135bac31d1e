import { CniError, Code, messageOf } from "../../cni/error.ts";
import { INET_TABLE } from "./masquerade.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";

/** Runs `act`; a failure becomes a CniError that says what could not be done ("cannot <what>: <why>"). */
export function explained<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof CniError) throw error;
    throw new CniError(Code.Internal, `cannot ${what}: ${messageOf(error)}`, "", { cause: error });
  }
}

/**
 * For removals: runs `use` with nftables, which stays open until the process exits; undefined when the kernel has no
 * nftables at all, and so nothing to remove.
 */
export function whereUsable<T>(what: string, use: (nft: Nftables) => T): T | undefined {
  return explained(what, () => {
    const nft = Nftables.findUntilExit();
    try {
      return nft && use(nft);
    } catch (error) {
      if (isUsable(nft!)) throw error;
      return undefined;
    }
  });
}

function isUsable(nft: Nftables): boolean {
  try {
    nft.probe();
    return true;
  } catch {
    return false;
  }
}

/**
 * Chains of podwire's table that nothing leads to any more; those that stand in front of others have the longer names,
 * and go first.
 */
export function dropUnusedChains(nft: Nftables, prefix: string): void {
  const names = nft
    .chains(INET_TABLE)
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix));
  for (const name of names.toSorted((a, b) => b.length - a.length)) nft.deleteUnusedChain(INET_TABLE, name);
}

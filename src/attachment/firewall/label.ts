import { sha512 } from "../../kernel/hash.ts";

/** NFTNL_UDATA_COMMENT_MAXLEN without its terminating zero: nft shows no longer comment. */
export const COMMENT_BYTES = 127;

/** NFT_CHAIN_MAXNAMELEN is 128; a prefix and a subnet need the rest. */
const NETWORK_BYTES = 60;

/**
 * The network's part of a chain name: nft reads letters, digits, "/", "-", "_" and "." there; "/" is in no network
 * name, so shortened ones stand apart.
 */
export function chainNetwork(network: string): string {
  if (network.length <= NETWORK_BYTES) return network;
  return `${network.slice(0, NETWORK_BYTES - 9)}/${sha512(network).slice(0, 8)}`;
}

/** True for a comment that starts with these words, whatever follows. */
export const startsWithWords = (comment: string, words: string): boolean =>
  comment === words || comment.startsWith(`${words} `);

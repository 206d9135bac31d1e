import { type Attributes, decodeAttributes, decodeList, decodeText, type Reply } from "../netlink.ts";
import type { Verdict } from "./expression.ts";
import type { Element, Hook } from "./object.ts";

// What the kernel says about chains, rules and elements; the counterpart of object.ts.

/** After the four bytes of struct nfgenmsg. */
const attributesOf = (reply: Reply): Attributes => decodeAttributes(reply.data.subarray(4));

const word = (attributes: Attributes, type: number): number => attributes.get(type)?.readInt32BE(0) ?? 0;
const string = (attributes: Attributes, type: number): string => decodeText(attributes.get(type) ?? Buffer.alloc(0));

/** The comment in user data (libnftnl/udata.h: type, length, value; the comment is type 0), "" when there is none. */
function decodeComment(userdata: Buffer | undefined): string {
  for (let at = 0; userdata && at + 2 <= userdata.length; at += 2 + userdata[at + 1]!) {
    if (userdata[at] === 0) return decodeText(userdata.subarray(at + 2, at + 2 + userdata[at + 1]!));
  }
  return "";
}

export interface Chain {
  table: string;
  name: string;
  /** rules in the chain and jumps to it, added up */
  use: number;
  hook?: Hook;
}

export function decodeChain(reply: Reply): Chain {
  const chain = attributesOf(reply);
  const hook = chain.get(4 /* NFTA_CHAIN_HOOK */);
  const place = hook && decodeAttributes(hook);
  const type = string(chain, 7 /* NFTA_CHAIN_TYPE */) as Hook["type"];
  return {
    table: string(chain, 1 /* NFTA_CHAIN_TABLE */),
    name: string(chain, 3 /* NFTA_CHAIN_NAME */),
    use: word(chain, 6 /* NFTA_CHAIN_USE */),
    ...(place && { hook: { type, hook: word(place, 1 /* NFTA_HOOK_HOOKNUM */), priority: word(place, 2 /* NFTA_HOOK_PRIORITY */) } }),
  };
}

export interface Rule {
  table: string;
  chain: string;
  handle: bigint;
  expressions: Buffer;
  comment: string;
}

export function decodeRule(reply: Reply): Rule {
  const rule = attributesOf(reply);
  return {
    table: string(rule, 1 /* NFTA_RULE_TABLE */),
    chain: string(rule, 2 /* NFTA_RULE_CHAIN */),
    handle: rule.get(3 /* NFTA_RULE_HANDLE */)?.readBigUInt64BE(0) ?? 0n,
    expressions: rule.get(4 /* NFTA_RULE_EXPRESSIONS */) ?? Buffer.alloc(0),
    comment: decodeComment(rule.get(7 /* NFTA_RULE_USERDATA */)),
  };
}

/** The elements one reply to NFT_MSG_GETSETELEM carries, each with its comment ("" where it has none). */
export const decodeElements = (reply: Reply): (Element & { comment: string })[] =>
  decodeList(attributesOf(reply).get(3 /* NFTA_SET_ELEM_LIST_ELEMENTS */) ?? Buffer.alloc(0)).map(decodeElement);

function decodeElement(payload: Buffer): Element & { comment: string } {
  const element = decodeAttributes(payload);
  const key = decodeAttributes(element.get(1 /* NFTA_SET_ELEM_KEY */) ?? Buffer.alloc(0)).get(1 /* NFTA_DATA_VALUE */) ?? Buffer.alloc(0);
  const content = decodeAttributes(element.get(2 /* NFTA_SET_ELEM_DATA */) ?? Buffer.alloc(0));
  const data = content.get(1 /* NFTA_DATA_VALUE */);
  const verdict = content.get(2 /* NFTA_DATA_VERDICT */);
  return {
    key,
    comment: decodeComment(element.get(6 /* NFTA_SET_ELEM_USERDATA */)),
    ...(data && { data }),
    ...(verdict && { verdict: decodeVerdict(verdict) }),
  };
}

/** The verdict in data that may hold a value instead (NFTA_DATA_...). */
export function findVerdict(data: Buffer): Verdict | undefined {
  const payload = data.length < 8 ? undefined : decodeAttributes(data).get(2 /* NFTA_DATA_VERDICT */);
  return payload && decodeVerdict(payload);
}

function decodeVerdict(payload: Buffer): Verdict {
  const verdict = decodeAttributes(payload);
  const code = word(verdict, 1 /* NFTA_VERDICT_CODE */);
  return verdict.has(2 /* NFTA_VERDICT_CHAIN */) ? { code, chain: string(verdict, 2) } : { code };
}

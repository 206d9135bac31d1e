import { indexOfBytes, viewOf } from "../../net/bytes.ts";
import { type Attributes, decodeAttributes, decodeList, decodeText } from "../codec.ts";
import type { Reply } from "../message.ts";
import type { Verdict } from "./expression.ts";
import { type Element, type Hook, UDATA } from "./object.ts";

// What the kernel says about chains, rules and elements; the counterpart of object.ts.

/** After the four bytes of struct nfgenmsg. */
const attributesOf = (reply: Reply): Attributes => decodeAttributes(reply.data.subarray(4));

/** Priorities and verdicts have a sign. */
const signed = (attributes: Attributes, type: number): number => (attributes.be32(type) ?? 0) | 0;

const NOTHING = new Uint8Array(0);

/** A text in user data (libnftnl/udata.h: type, length, value), the comment unless another is meant; "" for none. */
function decodeComment(userdata: Uint8Array | undefined, type: number = UDATA.COMMENT): string {
  for (let at = 0; userdata && at + 2 <= userdata.length; at += 2 + userdata[at + 1]!) {
    if (userdata[at] === type) return decodeText(userdata.subarray(at + 2, at + 2 + userdata[at + 1]!));
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
  const place = chain.has(4 /* NFTA_CHAIN_HOOK */) ? chain.nested(4) : undefined;
  const type = chain.text(7 /* NFTA_CHAIN_TYPE */) as Hook["type"];
  return {
    table: chain.text(1 /* NFTA_CHAIN_TABLE */),
    name: chain.text(3 /* NFTA_CHAIN_NAME */),
    use: chain.be32(6 /* NFTA_CHAIN_USE */) ?? 0,
    ...(place && {
      hook: {
        type,
        hook: signed(place, 1 /* NFTA_HOOK_HOOKNUM */),
        priority: signed(place, 2 /* NFTA_HOOK_PRIORITY */),
      },
    }),
  };
}

/** A chain that packets enter by themselves, of whatever table. */
export interface BaseChain {
  table: { family: number; name: string };
  name: string;
  type: string;
  hook: number;
  priority: number;
  /** NF_ACCEPT (1) or NF_DROP (0) for what reaches its end */
  policy: number;
}

/** The base chain of a reply to NFT_MSG_GETCHAIN; undefined for any other chain. */
export function decodeBaseChain(reply: Reply): BaseChain | undefined {
  const chain = attributesOf(reply);
  if (!chain.has(4 /* NFTA_CHAIN_HOOK */)) return undefined;
  const place = chain.nested(4);
  return {
    table: { family: reply.data[0]!, name: chain.text(1 /* NFTA_CHAIN_TABLE */) },
    name: chain.text(3 /* NFTA_CHAIN_NAME */),
    type: chain.text(7 /* NFTA_CHAIN_TYPE */),
    hook: signed(place, 1 /* NFTA_HOOK_HOOKNUM */),
    priority: signed(place, 2 /* NFTA_HOOK_PRIORITY */),
    policy: chain.be32(5 /* NFTA_CHAIN_POLICY */) ?? 1,
  };
}

/** The generation of the ruleset, which every change counts up (NFT_MSG_NEWGEN). */
export const decodeGeneration = (reply: Reply): number => attributesOf(reply).be32(1 /* NFTA_GEN_ID */) ?? 0;

export interface Rule {
  table: string;
  chain: string;
  handle: bigint;
  expressions: Uint8Array;
  comment: string;
}

export function decodeRule(reply: Reply): Rule {
  const rule = attributesOf(reply);
  return {
    table: rule.text(1 /* NFTA_RULE_TABLE */),
    chain: rule.text(2 /* NFTA_RULE_CHAIN */),
    handle: rule.be64(3 /* NFTA_RULE_HANDLE */) ?? 0n,
    expressions: rule.get(4 /* NFTA_RULE_EXPRESSIONS */) ?? NOTHING,
    comment: decodeComment(rule.get(7 /* NFTA_RULE_USERDATA */)),
  };
}

/** An element as it was found: who it belongs to stands in its comment, "" where it has none. */
export type FoundElement = Element & { comment: string };

/**
 * The elements one reply to NFT_MSG_GETSETELEM carries, decoded one by one; with `mentions` those that have one of
 * these byte strings somewhere.
 */
export function* decodeElements(reply: Reply, mentions?: readonly Uint8Array[]): Generator<FoundElement> {
  const list = attributesOf(reply).get(3 /* NFTA_SET_ELEM_LIST_ELEMENTS */) ?? NOTHING;
  for (const payload of mentions ? mentioning(list, mentions) : decodeList(list)) yield decodeElement(payload);
}

/** Of hundreds of attributes in a list that mention nothing wanted, each is stepped over. */
function* mentioning(list: Uint8Array, mentions: readonly Uint8Array[]): Generator<Uint8Array> {
  const nearest = (from: number): number =>
    Math.min(...mentions.map((wanted) => indexOfBytes(list, wanted, from)).filter((at) => at >= 0));
  const view = viewOf(list);
  for (let at = 0, near = nearest(0); near < list.length && at + 4 <= list.length;) {
    const length = view.getUint16(at, true);
    if (length < 4) return;
    const next = at + ((length + 3) & ~3);
    if (near < next) {
      yield list.subarray(at + 4, at + length);
      near = nearest(next);
    }
    at = next;
  }
}

function decodeElement(payload: Uint8Array): FoundElement {
  const element = decodeAttributes(payload);
  const key = element.nested(1 /* NFTA_SET_ELEM_KEY */).get(1 /* NFTA_DATA_VALUE */) ?? NOTHING;
  const content = element.nested(2 /* NFTA_SET_ELEM_DATA */);
  const data = content.get(1 /* NFTA_DATA_VALUE */);
  const verdict = content.get(2 /* NFTA_DATA_VERDICT */);
  const userdata = element.get(6 /* NFTA_SET_ELEM_USERDATA */);
  const note = decodeComment(userdata, UDATA.NOTE);
  return {
    key,
    comment: decodeComment(userdata),
    ...(note && { note }),
    ...(data && { data }),
    ...(verdict && { verdict: decodeVerdict(verdict) }),
  };
}

function decodeVerdict(payload: Uint8Array): Verdict {
  const verdict = decodeAttributes(payload);
  const code = signed(verdict, 1 /* NFTA_VERDICT_CODE */);
  return verdict.has(2 /* NFTA_VERDICT_CHAIN */) ? { code, chain: verdict.text(2) } : { code };
}

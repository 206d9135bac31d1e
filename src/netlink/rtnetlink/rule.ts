import { viewOf } from "../../net/bytes.ts";
import { bits, type Family, formatIp, type Ip, ipBytes, ipFromBytes } from "../../net/ip.ts";
import { attribute, decodeAttributes, NLM_F, u32 } from "../codec.ts";
import type { Message, Reply } from "../message.ts";
import { AF } from "./address.ts";

/** linux/rtnetlink.h */
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
/** linux/fib_rules.h */
const FRA = { SRC: 2, TABLE: 15 } as const;
const FR_ACT_TO_TBL = 1;

/** A rule that sends what a single address sends through a table. */
export interface SourceRule {
  from: Ip;
  table: number;
}

/** struct fib_rule_hdr, and the rule's own attributes */
function payload({ from, table }: SourceRule): Uint8Array[] {
  const header = new Uint8Array(12);
  header[0] = AF[from.family];
  header[2] = bits(from.family);
  header[4] = table < 256 ? table : 0;
  header[7] = FR_ACT_TO_TBL;
  return [header, ...attribute(FRA.SRC, ipBytes(from)), ...u32(FRA.TABLE, table)];
}

const words = ({ from, table }: SourceRule): string => `rule from ${formatIp(from)} lookup ${table}`;

/** Adds the rule, at a priority the kernel chooses. */
export const addRule = (rule: SourceRule): Message => ({
  type: RTM_NEWRULE,
  flags: NLM_F.CREATE | NLM_F.EXCL,
  data: payload(rule),
  what: `add ${words(rule)}`,
});

/** ENOENT when it is not there. */
export const deleteRule = (rule: SourceRule): Message => ({
  type: RTM_DELRULE,
  flags: 0,
  data: payload(rule),
  what: `delete ${words(rule)}`,
});

/** Asks for all rules of a family (use with NetlinkSocket.dump). */
export function getRules(family: Family): Message {
  const header = new Uint8Array(12);
  header[0] = AF[family];
  return { type: RTM_GETRULE, flags: 0, data: [header], what: "list rules" };
}

/** Bytes that every reply to `getRules` has in it which tells of a rule for what that address sends. */
export const ruleMention = (from: Ip): Uint8Array => attribute(FRA.SRC, ipBytes(from))[0]!;

/** The table a rule leads to, and the single address it is for, if it is for one; undefined for another message. */
export function decodeRule({ type, data }: Reply): { table: number; from?: Ip } | undefined {
  if (type !== RTM_NEWRULE) return undefined;
  const attributes = decodeAttributes(data.subarray(12));
  const source = attributes.get(FRA.SRC);
  const from = source && ipFromBytes(source);
  const isSingle = from && viewOf(data).getUint8(2) === bits(from.family);
  return { table: attributes.u32(FRA.TABLE) ?? data[4]!, ...(isSingle && { from }) };
}

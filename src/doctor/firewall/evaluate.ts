import { decodeAttributes, decodeList, type Attributes, word } from "../../netlink/codec.ts";
import { compareBytes } from "../../net/bytes.ts";
import { conntrackOf, kindNumbers, metaOf, networkHeader, type Packet, transportHeader } from "./packet.ts";
import { type Match, matches } from "./xtables.ts";

// What becomes of a packet in chains of nftables, iptables' among them, as far as it can be told without sending it.
// What cannot be told (a set that changes, a limit, a match nobody here knows) may be either way: only what is certain
// is said.

/** How a packet may leave a chain; "continue" is to whoever called it, or to the policy. */
export type Outcome = "accept" | "drop" | "translate" | "continue";

/** A verdict of a rule or of a map's element (linux/netfilter.h, nf_tables.h). */
export interface RuleVerdict {
  code: number;
  chain?: string;
}

/** The chains of one table. */
export interface ChainSource {
  /** expressions of each rule, in order; undefined where there are more rules than are followed */
  rules(chain: string): readonly Uint8Array[] | undefined;
  /** what a set or map has for a key; undefined for nothing, "unknown" where that cannot be told */
  lookUp(set: string, key: Uint8Array): { verdict?: RuleVerdict } | undefined | "unknown";
}

/** What a chain may do with a packet, and, where it surely drops it, which rule does. */
export interface Judged {
  outcomes: ReadonlySet<Outcome>;
  /** the chain whose rule decides, where one surely does */
  decidedIn?: string;
}

const NF_DROP = 0;
const NF_ACCEPT = 1;
const NFT_JUMP = -3;
const NFT_GOTO = -4;
const NFT_RETURN = -5;
/** Jumps the kernel allows (NFT_JUMP_STACK_SIZE). */
const DEEPEST = 16;

/** What becomes of the packet in a chain. */
export function judgeChain(source: ChainSource, chain: string, packet: Packet, depth = 0): Judged {
  const possible = new Set<Outcome>();
  const rules = depth > DEEPEST ? undefined : source.rules(chain);
  if (!rules) return { outcomes: new Set<Outcome>(["accept", "drop", "translate", "continue"]) };
  for (const rule of rules) {
    const { match, verdict } = judgeRule(rule, source, packet);
    if (match === false || verdict === undefined) continue;
    const { outcomes, decidedIn, isReturn } = follow(verdict, { source, chain, packet, depth });
    const isCertain = match === true && !outcomes.has("continue");
    for (const outcome of outcomes) if (outcome !== "continue") possible.add(outcome);
    if (match === true && isReturn) break;
    if (isReturn) continue;
    if (isCertain) return { outcomes: possible, ...(possible.size === 1 && { decidedIn: decidedIn ?? chain }) };
  }
  possible.add("continue");
  return { outcomes: possible };
}

interface Place {
  source: ChainSource;
  chain: string;
  packet: Packet;
  depth: number;
}

function follow(verdict: RuleVerdict | "translate" | "unknown", at: Place): Judged & { isReturn?: boolean } {
  const only = (outcome: Outcome): Judged => ({ outcomes: new Set([outcome]) });
  if (verdict === "translate") return only("translate");
  if (verdict === "unknown") return { outcomes: new Set<Outcome>(["accept", "drop", "continue"]) };
  if (verdict.code === NFT_RETURN) return { ...only("continue"), isReturn: true };
  if ((verdict.code === NFT_JUMP || verdict.code === NFT_GOTO) && verdict.chain !== undefined) {
    const judged = judgeChain(at.source, verdict.chain, at.packet, at.depth + 1);
    // what comes back from a goto goes past the rest of this chain
    return verdict.code === NFT_GOTO && judged.outcomes.has("continue") ? { ...judged, isReturn: true } : judged;
  }
  if (verdict.code === NF_DROP) return only("drop");
  return only(verdict.code === NF_ACCEPT ? "accept" : "continue");
}

interface Registers {
  values: Map<number, Uint8Array>;
  source: ChainSource;
  packet: Packet;
}

type Step = { match: Match; verdict?: RuleVerdict | "translate" | "unknown" };

/** Whether a rule matches, and what it then does; undefined for one that does nothing to the packet's way. */
function judgeRule(expressions: Uint8Array, source: ChainSource, packet: Packet): Step {
  const registers: Registers = { values: new Map(), source, packet };
  let match: Match = true;
  for (const item of decodeList(expressions)) {
    const expression = decodeAttributes(item);
    const step = stepOf(expression.text(1 /* NFTA_EXPR_NAME */), expression.nested(2 /* NFTA_EXPR_DATA */), registers);
    if (step.match === false) return { match: false };
    if (step.match === undefined) match = undefined;
    if (step.verdict !== undefined) return { match, verdict: step.verdict };
  }
  return { match };
}

const PASSES: Step = { match: true };
const UNSURE: Step = { match: undefined };

/** Registers by the first of their 32-bit words: NFT_REG_1 is NFT_REG32_00. */
const register = (number: number): number => (number >= 1 && number <= 4 ? 8 + (number - 1) * 4 : number);

/** What each expression does, by its name. */
const steps: Record<string, (data: Attributes, registers: Registers) => Step> = {
  counter: () => PASSES,
  log: () => PASSES,
  notrack: () => PASSES,
  last: () => PASSES,
  meta: (data, registers) =>
    data.has(3 /* NFTA_META_SREG */)
      ? PASSES
      : load(registers, wordOf(data, 1), metaOf(registers.packet, wordOf(data, 2 /* NFTA_META_KEY */))),
  ct: (data, registers) =>
    data.has(4 /* NFTA_CT_SREG */)
      ? PASSES
      : load(registers, wordOf(data, 1), conntrackOf(registers.packet, wordOf(data, 2 /* NFTA_CT_KEY */))),
  payload: (data, registers) =>
    load(
      registers,
      wordOf(data, 1),
      payload(registers.packet, [wordOf(data, 2), wordOf(data, 3), wordOf(data, 4)] /* base, offset, length */),
    ),
  // NFT_FIB_RESULT_ADDRTYPE of NFTA_FIB_F_DADDR
  fib: (data, registers) =>
    load(
      registers,
      wordOf(data, 1),
      wordOf(data, 2) === 3 && wordOf(data, 3) === 2 ? word(kindNumbers[registers.packet.destinationKind]) : undefined,
    ),
  bitwise: (data, registers) => load(registers, wordOf(data, 2), bitwise(held(registers, wordOf(data, 1)), data)),
  cmp: (data, registers) => ({
    match: compare(held(registers, wordOf(data, 1)), wordOf(data, 2), data.nested(3).get(1)),
  }),
  immediate: (data) => immediate(data),
  lookup: (data, registers) => lookUp(data, held(registers, wordOf(data, 2)), registers.source),
  match: (data, { packet }) => ({
    match: matches(data.text(1 /* NFTA_MATCH_NAME */), data.get(3 /* NFTA_MATCH_INFO */) ?? NOTHING, packet),
  }),
  target: (data) => target(data.text(1 /* NFTA_TARGET_NAME */)),
  reject: () => ({ match: true, verdict: { code: NF_DROP } }),
  nat: () => TRANSLATES,
  masq: () => TRANSLATES,
  redir: () => TRANSLATES,
};

const TRANSLATES: Step = { match: true, verdict: "translate" };

const wordOf = (data: Attributes, type: number): number => data.be32(type) ?? 0;
const held = ({ values }: Registers, number: number): Uint8Array | undefined => values.get(register(number));

function load({ values }: Registers, to: number, value: Uint8Array | undefined): Step {
  if (value) values.set(register(to), value);
  else values.delete(register(to));
  return PASSES;
}

const stepOf = (name: string, data: Attributes, registers: Registers): Step =>
  Object.hasOwn(steps, name) ? steps[name]!(data, registers) : UNSURE;

const NOTHING = new Uint8Array(0);

function payload(packet: Packet, [base, offset, length]: readonly [number, number, number]): Uint8Array | undefined {
  if (base === 1 /* NFT_PAYLOAD_NETWORK_HEADER */) return networkHeader(packet, offset, length);
  return base === 2 /* NFT_PAYLOAD_TRANSPORT_HEADER */ ? transportHeader(packet, offset, length) : undefined;
}

function bitwise(value: Uint8Array | undefined, data: Attributes): Uint8Array | undefined {
  const [mask, flip] = [data.nested(4).get(1), data.nested(5).get(1)];
  if (!value || !mask || !flip || (data.be32(6 /* NFTA_BITWISE_OP */) ?? 0) !== 0) return undefined;
  return value.slice(0, mask.length).map((byte, at) => (byte & mask[at]!) ^ flip[at]!);
}

/** enum nft_cmp_ops: eq, neq, lt, lte, gt, gte; bytes compare as the kernel compares them. */
function compare(value: Uint8Array | undefined, operator: number, wanted: Uint8Array | undefined): Match {
  if (!value || !wanted || value.length < wanted.length) return undefined;
  const order = compareBytes(value.subarray(0, wanted.length), wanted);
  return [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][operator];
}

function immediate(data: Attributes): Step {
  if (data.be32(1 /* NFTA_IMMEDIATE_DREG */) !== 0) return PASSES;
  const verdict = data.nested(2).nested(2 /* NFTA_DATA_VERDICT */);
  const chain = verdict.text(2);
  return { match: true, verdict: { code: (verdict.be32(1) ?? 0) | 0, ...(chain !== "" && { chain }) } };
}

function lookUp(data: Attributes, key: Uint8Array | undefined, source: ChainSource): Step {
  const isMap = data.has(3 /* NFTA_LOOKUP_DREG */);
  const isVerdict = isMap && data.be32(3) === 0;
  const found = key ? source.lookUp(data.text(1 /* NFTA_LOOKUP_SET */), key) : "unknown";
  if (found === "unknown") return isVerdict ? { match: undefined, verdict: "unknown" } : UNSURE;
  const isInverted = ((data.be32(5 /* NFTA_LOOKUP_FLAGS */) ?? 0) & 1) !== 0;
  if (!isMap) return { match: (found !== undefined) !== isInverted };
  if (!found) return { match: false };
  return isVerdict ? { match: true, verdict: found.verdict ?? "unknown" } : UNSURE;
}

/** Targets of iptables by name: those that end a packet's way, those that translate, those that only note something. */
function target(name: string): Step {
  if (name === "REJECT") return { match: true, verdict: { code: NF_DROP } };
  if (["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"].includes(name)) return { match: true, verdict: "translate" };
  const notes = ["LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS", "CHECKSUM", "TRACE", "CT", "CLASSIFY", "DSCP", "SET"];
  return notes.includes(name) ? PASSES : { match: true, verdict: "unknown" };
}

import { attribute, be32, type Bytes, nested, text } from "../codec.ts";

// Expressions are the instructions of a rule: each reads or writes registers, or ends the rule when it does not match.
// Numbers from linux/netfilter/nf_tables.h.

/**
 * NFT_REG_1 is 16 bytes wide and overlaps NFT_REG32_00 to _03, which are 4 bytes each: a longer key goes on in the next
 * one.
 */
export const NFT_REG_1 = 1;
export const NFT_REG_2 = 2;
export const NFT_REG32_01 = 9;
export const NFT_REG32_02 = 10;
export const NFT_REG32_05 = 13;
const NFT_REG_VERDICT = 0;

export const NFT_META = { MARK: 3, IIF: 4, IIFNAME: 6, OIFNAME: 7, NFPROTO: 15, L4PROTO: 16 } as const;
export const NFT_PAYLOAD = { LL_HEADER: 0, NETWORK_HEADER: 1, TRANSPORT_HEADER: 2 } as const;

export const NF_DROP = 0;
export const NFT_JUMP = -3;
export const NFT_RETURN = -5;

/** What a rule or a map element decides; `chain` for NFT_JUMP. */
export interface Verdict {
  code: number;
  chain?: string;
}

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;
const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
const NFTA_VERDICT = { CODE: 1, CHAIN: 2 } as const;

const expression = (name: string, ...attributes: Bytes[]): Bytes =>
  nested(NFTA_LIST_ELEM, text(NFTA_EXPR.NAME, name), nested(NFTA_EXPR.DATA, ...attributes));

/** A value inside the attribute `type`, as NFTA_DATA_VALUE. */
export const valueData = (type: number, value: Uint8Array): Bytes => nested(type, attribute(NFTA_DATA.VALUE, value));

/** A verdict inside the attribute `type`, as NFTA_DATA_VERDICT. */
export const verdictData = (type: number, { code, chain }: Verdict): Bytes =>
  nested(
    type,
    nested(
      NFTA_DATA.VERDICT,
      be32(NFTA_VERDICT.CODE, code >>> 0),
      ...(chain === undefined ? [] : [text(NFTA_VERDICT.CHAIN, chain)]),
    ),
  );

/** Loads a property of the packet (NFT_META) into a register. */
export const loadMeta = (key: number, register = NFT_REG_1): Bytes =>
  expression("meta", be32(2 /* NFTA_META_KEY */, key), be32(1 /* NFTA_META_DREG */, register));

/** What connection tracking knows of the packet (NFT_CT_STATE, NFT_CT_STATUS), into register 1. */
export const loadTracked = (key: 0 | 2): Bytes =>
  expression("ct", be32(2 /* NFTA_CT_KEY */, key), be32(1 /* NFTA_CT_DREG */, NFT_REG_1));

/** Sets a property of the packet from register 1. */
export const storeMeta = (key: number): Bytes =>
  expression("meta", be32(2 /* NFTA_META_KEY */, key), be32(3 /* NFTA_META_SREG */, NFT_REG_1));

/** Where bytes lie in a packet: `base` is one of NFT_PAYLOAD, the rest counts bytes. */
export interface Field {
  base: number;
  offset: number;
  length: number;
}

export const loadPayload = ({ base, offset, length }: Field, register = NFT_REG_1): Bytes =>
  expression(
    "payload",
    be32(1 /* NFTA_PAYLOAD_DREG */, register),
    be32(2 /* NFTA_PAYLOAD_BASE */, base),
    be32(3 /* NFTA_PAYLOAD_OFFSET */, offset),
    be32(4 /* NFTA_PAYLOAD_LEN */, length),
  );

/** Goes on only when register 1 equals (or, `"!="`, differs from) the value. */
export const compare = (value: Uint8Array, operator: "==" | "!=" = "=="): Bytes =>
  expression(
    "cmp",
    be32(1 /* NFTA_CMP_SREG */, NFT_REG_1),
    be32(2 /* NFTA_CMP_OP */, operator === "==" ? 0 : 1),
    valueData(3 /* NFTA_CMP_DATA */, value),
  );

/** register 1 = (register 1 & mask) ^ flip */
export const bitwise = (mask: Uint8Array, flip: Uint8Array): Bytes =>
  expression(
    "bitwise",
    be32(1 /* NFTA_BITWISE_SREG */, NFT_REG_1),
    be32(2 /* NFTA_BITWISE_DREG */, NFT_REG_1),
    be32(3 /* NFTA_BITWISE_LEN */, mask.length),
    valueData(4 /* NFTA_BITWISE_MASK */, mask),
    valueData(5 /* NFTA_BITWISE_XOR */, flip),
  );

const lookupIn = (set: string, ...more: Bytes[]): Bytes =>
  expression("lookup", text(1 /* NFTA_LOOKUP_SET */, set), be32(2 /* NFTA_LOOKUP_SREG */, NFT_REG_1), ...more);

/** Goes on only when the key in register 1 and what follows it is in the set. */
export const isInSet = (set: string): Bytes => lookupIn(set);
export const isNotInSet = (set: string): Bytes =>
  lookupIn(set, be32(5 /* NFTA_LOOKUP_FLAGS */, 1 /* NFT_LOOKUP_F_INV */));
/** Takes the verdict the map has for the key in register 1. */
export const verdictFromMap = (map: string): Bytes => lookupIn(map, be32(3 /* NFTA_LOOKUP_DREG */, NFT_REG_VERDICT));
/** Replaces the key in register 1 by what the map has for it; goes on only when it has something. */
export const valueFromMap = (map: string): Bytes => lookupIn(map, be32(3 /* NFTA_LOOKUP_DREG */, NFT_REG_1));

/** Ends the rule with a verdict. */
export const verdict = (code: number, chain?: string): Bytes =>
  expression(
    "immediate",
    be32(1 /* NFTA_IMMEDIATE_DREG */, NFT_REG_VERDICT),
    verdictData(2 /* NFTA_IMMEDIATE_DATA */, chain === undefined ? { code } : { code, chain }),
  );

export const masquerade = (): Bytes => expression("masq");

/** Sends the connection to the address in register 1 and the port in `portRegister`; `family` is an NFPROTO number. */
export const destinationNat = (family: number, portRegister: number): Bytes =>
  expression(
    "nat",
    be32(1 /* NFTA_NAT_TYPE */, 1 /* NFT_NAT_DNAT */),
    be32(2 /* NFTA_NAT_FAMILY */, family),
    be32(3 /* NFTA_NAT_REG_ADDR_MIN */, NFT_REG_1),
    be32(5 /* NFTA_NAT_REG_PROTO_MIN */, portRegister),
  );

/** Loads the kind of the destination address (linux/rtnetlink.h, RTN_LOCAL is 2), as the routing tables see it. */
export const loadDestinationKind = (): Bytes =>
  expression(
    "fib",
    be32(1 /* NFTA_FIB_DREG */, NFT_REG_1),
    be32(2 /* NFTA_FIB_RESULT */, 3 /* NFT_FIB_RESULT_ADDRTYPE */),
    be32(3 /* NFTA_FIB_FLAGS */, 2 /* NFTA_FIB_F_DADDR */),
  );

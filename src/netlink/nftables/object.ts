import { concatBytes, encodeUtf8 } from "../../net/bytes.ts";
import { attribute, be32, be64, type Bytes, nested, NLM_F, text } from "../codec.ts";
import type { Message } from "../message.ts";
import type { Verdict } from "./expression.ts";

// Tables, chains, rules, sets and their elements as messages (linux/netfilter/nf_tables.h,
// linux/netfilter/nfnetlink.h).

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;

// prettier-ignore
export const NFT_MSG = {
  NEWTABLE: 0, GETTABLE: 1, DELTABLE: 2, NEWCHAIN: 3, GETCHAIN: 4, DELCHAIN: 5, NEWRULE: 6, GETRULE: 7, DELRULE: 8,
  NEWSET: 9, NEWSETELEM: 12, GETSETELEM: 13, DELSETELEM: 14, GETGEN: 16,
} as const;

/** A table by its family (NFPROTO) and name. */
export interface Table {
  family: number;
  name: string;
}

/** Where a base chain sits: `hook` is an NF_INET_ (or NF_BR_) number. */
export interface Hook {
  type: "nat" | "filter";
  hook: number;
  priority: number;
}

/** linux/netfilter.h */
export const NF_INET = { PRE_ROUTING: 0, FORWARD: 2, LOCAL_OUT: 3, POST_ROUTING: 4 } as const;

/**
 * Types as nft numbers them (its src/datatype.c); the kernel stores them for nft's listing. `order`: 1 host, 2 network
 * byte order.
 */
export const Datatype = {
  ipv4_addr: { type: 7, length: 4, order: 2 },
  ipv6_addr: { type: 8, length: 16, order: 2 },
  ether_addr: { type: 9, length: 6, order: 2 },
  inet_proto: { type: 12, length: 1, order: 2 },
  inet_service: { type: 13, length: 2, order: 2 },
  ifname: { type: 41, length: 16, order: 1 },
} as const;
export type DatatypeName = keyof typeof Datatype;

/** A set, or with `data` a map; several key types are a concatenation. */
export interface SetSpec {
  name: string;
  key: DatatypeName[];
  data?: "verdict" | DatatypeName[];
}

/** One member of a set; the comment is what `nft list` shows, the note what podwire alone reads. */
export interface Element {
  key: Uint8Array;
  verdict?: Verdict;
  data?: Uint8Array;
  comment?: string;
  note?: string;
}

/** The table as nft writes it: "inet podwire". */
export const tableName = (table: Table): string =>
  `${["", "inet", "ip", "arp", "", "netdev", "", "bridge", "", "", "ip6"][table.family]} ${table.name}`;

/** A request about `table`: struct nfgenmsg { u8 family; u8 version; be16 res_id; }, then attributes. */
export const nftMessage = (
  type: number,
  flags: number,
  family: number,
  body: { data?: Bytes; what: string },
): Message => ({
  type: (NFNL_SUBSYS_NFTABLES << 8) | type,
  flags,
  data: [Uint8Array.of(family, 0, 0, 0), ...(body.data ?? [])],
  what: body.what,
});

const batchMark = (type: number, more: Bytes = []): Message => ({
  type,
  flags: 0,
  data: [Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES), ...more],
  what: "change nftables",
});

/**
 * The messages as one transaction: all of them take effect at once, or none. With a generation (NFTA_GEN_ID) the kernel
 * refuses them (ERESTART) when anything has changed since.
 */
export const batch = (messages: readonly Message[], generation?: number): Message[] => [
  batchMark(NFNL_MSG_BATCH_BEGIN, generation === undefined ? [] : be32(1 /* NFNL_BATCH_GENID */, generation)),
  ...messages,
  batchMark(NFNL_MSG_BATCH_END),
];

/**
 * libnftnl/udata.h: a list of type, length, value; type 0 is the comment, with its terminating zero, of every kind of
 * object but sets. nft passes by a type it does not know.
 */
export const UDATA = { COMMENT: 0, NOTE: 112 } as const;
/** NFT_USERDATA_MAXLEN less what the longest comment takes with its head, and the note's own. */
export const NOTE_BYTES = 256 - 2 - 128 - 2 - 1;

function udata(type: number, value: string): Bytes {
  const bytes = encodeUtf8(`${value}\0`);
  return [Uint8Array.of(type, bytes.length), bytes];
}

export const userdata = (type: number, comment: string | undefined, note?: string): Bytes =>
  comment === undefined
    ? []
    : attribute(type, [...udata(UDATA.COMMENT, comment), ...(note === undefined ? [] : udata(UDATA.NOTE, note))]);

/** `add table`; a kernel before 5.10 does not keep the comment. */
export const addTable = (table: Table, comment: string): Message =>
  nftMessage(NFT_MSG.NEWTABLE, NLM_F.CREATE, table.family, {
    data: [...text(1 /* NFTA_TABLE_NAME */, table.name), ...userdata(6 /* NFTA_TABLE_USERDATA */, comment)],
    what: `add nftables table ${tableName(table)}`,
  });

/** `add chain`, a base chain with `hook`. */
export const addChain = (table: Table, chain: string, hook?: Hook): Message => {
  const place = hook
    ? [
        ...nested(
          4 /* NFTA_CHAIN_HOOK */,
          be32(1 /* NFTA_HOOK_HOOKNUM */, hook.hook),
          be32(2 /* NFTA_HOOK_PRIORITY */, hook.priority >>> 0),
        ),
        ...text(7 /* NFTA_CHAIN_TYPE */, hook.type),
      ]
    : [];
  return nftMessage(NFT_MSG.NEWCHAIN, NLM_F.CREATE, table.family, {
    data: [...text(1 /* NFTA_CHAIN_TABLE */, table.name), ...text(3 /* NFTA_CHAIN_NAME */, chain), ...place],
    what: `add nftables chain ${tableName(table)} ${chain}`,
  });
};

const chainMessage = (type: number, table: Table, chain: string, what: string): Message =>
  nftMessage(type, 0, table.family, {
    data: [...text(1 /* NFTA_CHAIN_TABLE */, table.name), ...text(3 /* NFTA_CHAIN_NAME */, chain)],
    what: `${what} ${tableName(table)} ${chain}`,
  });

export const getChain = (table: Table, chain: string): Message =>
  chainMessage(NFT_MSG.GETCHAIN, table, chain, "find nftables chain");
export const deleteChain = (table: Table, chain: string): Message =>
  chainMessage(NFT_MSG.DELCHAIN, table, chain, "delete nftables chain");

const ruleMessage = (
  type: number,
  flags: number,
  table: Table,
  body: { chain: string; data?: Bytes; what: string },
): Message =>
  nftMessage(type, flags, table.family, {
    data: [
      ...text(1 /* NFTA_RULE_TABLE */, table.name),
      ...text(2 /* NFTA_RULE_CHAIN */, body.chain),
      ...(body.data ?? []),
    ],
    what: `${body.what} ${tableName(table)} ${body.chain}`,
  });

/** `add rule`, at the end of the chain; `line` is the rule as nft would print it, for error messages. */
export const addRule = (table: Table, chain: string, expressions: Bytes, line: string): Message =>
  ruleMessage(NFT_MSG.NEWRULE, NLM_F.CREATE | NLM_F.APPEND, table, {
    chain,
    data: nested(4 /* NFTA_RULE_EXPRESSIONS */, expressions),
    what: `add rule "${line}" to nftables chain`,
  });

export const flushChain = (table: Table, chain: string): Message =>
  ruleMessage(NFT_MSG.DELRULE, 0, table, { chain, what: "flush nftables chain" });

export const deleteRule = (table: Table, chain: string, handle: bigint): Message =>
  ruleMessage(NFT_MSG.DELRULE, 0, table, {
    chain,
    data: be64(3 /* NFTA_RULE_HANDLE */, handle),
    what: `delete rule ${handle} of nftables chain`,
  });

const padded = (length: number): number => (length + 3) & ~3;
/** The number nft gives a concatenation: six bits for each part. */
const typeNumber = (types: readonly DatatypeName[]): number =>
  types.reduce((number, type) => (number << 6) | Datatype[type].type, 0);
/** Each part of a concatenation fills whole 32-bit registers. */
const typeLength = (types: readonly DatatypeName[]): number =>
  types.length === 1 ? Datatype[types[0]!].length : types.reduce((sum, type) => sum + padded(Datatype[type].length), 0);
/**
 * libnftnl/udata.h, NFTNL_UDATA_SET_KEYBYTEORDER (0) and _DATABYTEORDER (1): how nft prints the values; a concatenation
 * has none.
 */
const byteOrder = (udata: 0 | 1, types: readonly DatatypeName[]): Uint8Array =>
  Uint8Array.of(udata, 4, types.length === 1 ? Datatype[types[0]!].order : 0, 0, 0, 0);

/** The key of a concatenation: its parts, each padded to whole 32-bit words. */
export const concatenation = (...parts: Uint8Array[]): Uint8Array =>
  concatBytes(parts.flatMap((part) => [part, new Uint8Array(padded(part.length) - part.length)]));

/** `add set` or `add map`; `id` must differ between the sets of one transaction. */
export const addSet = (table: Table, set: SetSpec, id: number): Message => {
  const verdicts = set.data === "verdict";
  const types = set.data === "verdict" || !set.data ? undefined : set.data;
  const dataType = verdicts ? 0xffffff00 /* NFT_DATA_VERDICT */ : types && typeNumber(types);
  return nftMessage(NFT_MSG.NEWSET, NLM_F.CREATE, table.family, {
    data: [
      ...text(1 /* NFTA_SET_TABLE */, table.name),
      ...text(2 /* NFTA_SET_NAME */, set.name),
      ...be32(3 /* NFTA_SET_FLAGS */, set.data ? 8 /* NFT_SET_MAP */ : 0),
      ...be32(4 /* NFTA_SET_KEY_TYPE */, typeNumber(set.key)),
      ...be32(5 /* NFTA_SET_KEY_LEN */, typeLength(set.key)),
      ...(dataType === undefined
        ? []
        : [
            ...be32(6 /* NFTA_SET_DATA_TYPE */, dataType),
            ...be32(7 /* NFTA_SET_DATA_LEN */, types ? typeLength(types) : 0),
          ]),
      ...be32(10 /* NFTA_SET_ID */, id),
      ...attribute(13 /* NFTA_SET_USERDATA */, byteOrder(0, set.key), ...(set.data ? [byteOrder(1, types ?? [])] : [])),
    ],
    what: `add nftables ${set.data ? "map" : "set"} ${tableName(table)} ${set.name}`,
  });
};

export const listRules = (table: Table, chain?: string): Message =>
  nftMessage(NFT_MSG.GETRULE, 0, table.family, {
    data: [
      ...text(1 /* NFTA_RULE_TABLE */, table.name),
      ...(chain === undefined ? [] : text(2 /* NFTA_RULE_CHAIN */, chain)),
    ],
    what: `list the rules of nftables table ${tableName(table)}`,
  });
export const listChains = (table: Table): Message =>
  nftMessage(NFT_MSG.GETCHAIN, 0, table.family, { what: `list the chains of nftables table ${tableName(table)}` });
